"""DVC itself: a second run does nothing, a changed parameter reruns what it must, and S3 gives everything back."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import yaml

from tests.architecture.source_rules import ROOT
from tests.programs import find_environment
from tools.private_redis import free_port

PARTS = ("training", ".dvc", ".dvcignore", ".gitignore", "mlapi", "models/tfidf-logreg-sst2")
STAGES = (
    "data_ingestion",
    "data_preprocessing",
    "feature_engineering",
    "model_building",
)
"""All but the last two, which would show nothing more."""


@dataclass(frozen=True, slots=True)
class Clone:
    """A copy of what DVC needs of this repository, whose model learns from the made-up sentences."""

    root: Path
    program: Path
    environment: Mapping[str, str]

    def dvc(self, *arguments: str) -> str:
        """Run DVC in `training/`; return what it said."""
        command = [str(self.program), "--cd", "training", *arguments]
        done = subprocess.run(
            command, cwd=self.root, env=self.environment, capture_output=True, text=True, timeout=240, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    def repro(self, last: str) -> list[str]:
        """Bring everything up to a stage up to date; return the stages that ran."""
        said = self.dvc("repro", f"{last}@lab")
        ran = [stage for stage in STAGES if f"Running stage '{stage}@lab'" in said]
        skipped = [stage for stage in STAGES if f"Stage '{stage}@lab' didn't change, skipping" in said]
        assert sorted(ran + skipped) == sorted(STAGES[: STAGES.index(last) + 1]), said
        return ran

    def set(self, **features: int) -> None:
        """Change parameters of the features."""
        file = self.root / "training/params.yaml"
        params = yaml.safe_load(file.read_text(encoding="utf-8"))
        params["models"]["lab"]["features"] |= features
        file.write_text(yaml.safe_dump(params), encoding="utf-8")


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    programs = find_environment("dvc")
    root = tmp_path / "clone"
    for part in PARTS:
        source, target = ROOT / part, root / part
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            leave = shutil.ignore_patterns("__pycache__", "results", "tmp", "cache", "config.local")
            shutil.copytree(source, target, ignore=leave)
        else:
            shutil.copy(source, target)
    subprocess.run(["git", "init", "--quiet"], cwd=root, check=True)
    over = yaml.safe_load((ROOT / "training/small.yaml").read_text(encoding="utf-8"))["models"]["lab"]
    params = yaml.safe_load((ROOT / "training/params.yaml").read_text(encoding="utf-8"))
    lab = params["models"]["lab"]
    lab |= {"name": over["name"], "data": over["data"], "features": lab["features"] | over["features"]}
    lab["building"] |= {"search": {"trials": 0}, "curve": [1.0]}
    lab["gate"] = {"accuracy": {"held out": 0.5}}
    (root / "training/params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        # Its own, because DVC reads pickled files from there, and the default is shared with every user.
        "DVC_SITE_CACHE_DIR": str(tmp_path / "site"),
        "DVC_NO_ANALYTICS": "1",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "eu-central-1",
    }
    return Clone(root, programs / "dvc", environment)


@pytest.fixture
def server() -> Iterator[str]:
    """The address of an S3 server that is still starting: so it does while DVC runs the stages."""
    port = free_port()
    command = [str(find_environment("dvc") / "moto_server"), "--host", "127.0.0.1", "--port", str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            yield f"http://127.0.0.1:{port}"
            assert process.poll() is None, "the S3 server ended"
        finally:
            process.terminate()


def make_bucket(address: str) -> None:
    """Wait for the server, and make its bucket; the test's own time limit ends a wait in vain."""
    made = None
    while made is None:
        with suppress(httpx.TransportError):
            made = httpx.put(f"{address}/models", timeout=5)
    assert made.status_code == 200, made.text


@pytest.mark.timeout(180)
def test_it_repeats_nothing_and_s3_gives_everything_back(clone: Clone, server: str) -> None:
    assert clone.repro("model_building") == [*STAGES]
    assert clone.repro("model_building") == []

    (clone.root / ".dvc/config.local").write_text(
        "[core]\n    remote = store\n['remote \"store\"']\n"
        f"    url = s3://models/training\n    endpointurl = {server}\n",
        encoding="utf-8",
    )
    results = clone.root / "training/results/lab"
    files = {path: path.read_bytes() for path in results.rglob("*") if path.is_file()}
    make_bucket(server)
    clone.dvc("push")
    for folder in [*(path for path in results.iterdir() if path.is_dir()), clone.root / ".dvc/cache"]:
        shutil.rmtree(folder)
    clone.dvc("pull", *(f"{stage}@lab" for stage in STAGES))
    assert {path: path.read_bytes() for path in results.rglob("*") if path.is_file()} == files

    clone.set(terms=500)
    assert clone.repro("model_building") == ["feature_engineering", "model_building"]
