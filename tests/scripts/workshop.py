"""A copy of the project in a repository of its own, and a PATH with stand-ins for what reaches outside."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import yaml

from tests.architecture.source_rules import ROOT
from tests.programs import find_program

PROGRAMS: Final = Path(__file__).parent / "programs"
COPIED: Final = (".k8s", "Dockerfile", "build-push.sh", "deploy.sh", "tools")
TOOLS: Final = (
    *("basename", "bash", "cat", "comm", "cp", "cut", "dirname", "git", "grep", "head", "mktemp", "realpath", "rm"),
    *("sed", "sleep", "sort", "tail", "tr", "uname", "wc"),
)
HOST: Final = "mlapi.test"
FAKES: Final = ("aws", "docker", "kubectl")
STATE: Final[dict[str, Any]] = {
    # kubectl
    "contexts": ["minikube", "kind-one", "production"],
    "current": "kind-one",
    "running": True,
    "objects": {},
    "broken_images": [],
    "silent_images": [],
    "unknown_kinds": [],
    "reached": [],
    # aws and docker
    "logged_in": True,
    "repositories": {"mlapi": {}},
    "built": {},
    "examined": [],
    "bad_image": False,
    "logins": [],
}


class Workshop:
    """The copy, its PATH, and the state of the stand-ins."""

    def __init__(self, folder: Path) -> None:
        """Make it all in an empty folder."""
        self.project = folder / "project"
        self.bin = folder / "bin"
        self._state = folder / "state.json"
        self.calls = folder / "calls"
        self.bin.mkdir()
        self.project.mkdir()
        self.change(**STATE)
        for name in COPIED:
            source = ROOT / name
            (shutil.copytree if source.is_dir() else shutil.copy2)(source, self.project / name)
        self.name_host(HOST)
        for name in TOOLS:
            found = shutil.which(name)
            assert found, name
            (self.bin / name).symlink_to(found)
        for name in FAKES:
            program = (PROGRAMS / f"{name}.py").read_text(encoding="utf-8")
            (self.bin / name).write_text(f"#!{sys.executable} -S\n{program}", encoding="utf-8")
            (self.bin / name).chmod(0o755)
        for command in (["init", "--quiet"], ["add", "--all"], ["commit", "--quiet", "--message", "All"]):
            self.git(*command)

    def name_host(self, host: str) -> None:
        """Put the host into the prod overlay, as every user has to."""
        path = self.project / ".k8s/overlays/prod/virtual-service.yaml"
        text, found = re.subn(r"(?<=    - )[\w.-]+(?=\n  gateways:)", host, path.read_text(encoding="utf-8"))
        assert found == 1
        path.write_text(text, encoding="utf-8")

    def add_program(self, name: str, script: str | None = None) -> None:
        """Put a program on the PATH; without a script, one that only notes how it was called."""
        path = self.bin / name
        path.write_text(f"#!{self.bin}/bash\n{script or f'echo {name} $* >>{self.calls}'}\n", encoding="utf-8")
        path.chmod(0o755)

    def remove_program(self, name: str) -> None:
        """Take a program off the PATH."""
        (self.bin / name).unlink()

    def git(self, *arguments: str) -> str:
        """Run git in the project."""
        identity = ["-c", "user.name=A", "-c", "user.email=a@example.com"]
        done = subprocess.run(
            ["git", *identity, *arguments], cwd=self.project, capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    @property
    def commit(self) -> str:
        """The commit, as images are named after it."""
        return self.git("rev-parse", "--short=12", "HEAD")

    @property
    def state(self) -> dict[str, Any]:
        """What the stand-ins know."""
        state: dict[str, Any] = json.loads(self._state.read_text(encoding="utf-8")) if self._state.exists() else {}
        return state

    def change(self, **values: object) -> None:
        """Change what the stand-ins know."""
        self._state.write_text(json.dumps(self.state | values), encoding="utf-8")

    def run(self, script: str, *arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
        """Run one of the project's scripts to its end."""
        return subprocess.run(
            [str(self.bin / "bash"), script, *arguments],
            cwd=self.project,
            env={
                "PATH": str(self.bin),
                "HOME": str(self.project.parent),
                "FAKE_STATE": str(self._state),
                # The stand-ins start without looking for packages; the one that they use lies here.
                "PYTHONPATH": str(Path(yaml.__file__).parents[1]),
                **({"FAKE_KUSTOMIZE": find_program("kustomize")} if script == "deploy.sh" else {}),
                **environment,
            },
            capture_output=True,
            text=True,
            check=False,
        )
