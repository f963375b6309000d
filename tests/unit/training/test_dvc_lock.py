"""`training/dvc.lock` is not behind: what it was run with is what is here, without asking DVC."""

import hashlib
import re
from collections.abc import Iterator, Mapping
from functools import reduce
from typing import Any, Final

import pytest
import yaml

from tests.architecture.source_rules import ROOT

RESULTS: Final = "training/results/"


class Reader(yaml.SafeLoader):
    """Takes `5e-05` for a number, as DVC does, which writes YAML 1.2; in YAML 1.1 it is a text."""


Reader.add_implicit_resolver("tag:yaml.org,2002:float", re.compile(r"\d+(\.\d+)?e[-+]\d+"), list("0123456789"))

LOCKED: Final = (ROOT / "training/dvc.lock").read_text(encoding="utf-8")
LOCK: Final[Mapping[str, Any]] = yaml.load(LOCKED, Reader)["stages"]  # noqa: S506  a safe one
PIPELINE: Final[Mapping[str, Any]] = yaml.safe_load((ROOT / "training/dvc.yaml").read_text(encoding="utf-8"))["stages"]
PUBLISHED: Final = ("lab", "lab-three", "project", "project-three")
"""Those whose results are in the repository."""


def md5(path: str) -> str:
    return hashlib.md5((ROOT / path).read_bytes()).hexdigest() if (ROOT / path).exists() else ""  # noqa: S324  DVC's


def declared(stage: str, model: str) -> Mapping[str, Any]:
    """Return what the pipeline says of a stage of one model."""
    found: Mapping[str, Any] = yaml.safe_load(yaml.safe_dump(PIPELINE[stage]["do"]).replace("${item}", model))
    return found


def behind(stage: str, locked: Mapping[str, Any], params: Mapping[str, Any]) -> Iterator[str]:
    """Say what of a stage is not as it was when it ran last."""
    now = declared(*stage.split("@"))
    if locked["cmd"] != now["cmd"]:
        yield f"command {now['cmd']}"
    run_with = {entry["path"]: entry for entry in locked.get("deps", [])}
    for path in sorted(run_with.keys() ^ set(now["deps"])):
        yield f"dependency {path}"
    made = {entry["path"]: entry["md5"] for other in LOCK.values() for entry in other["outs"]}
    for path, entry in run_with.items():
        if entry["md5"] != (made[path] if path.startswith(RESULTS) else md5(path)):
            yield f"content of {path}"
    (names,) = (names for item in now["params"] for names in item.values())
    run_with = locked["params"]["training/params.yaml"]
    for name in sorted(run_with.keys() ^ set(names)):
        yield f"parameter {name}"
    for name in run_with.keys() & set(names):
        if run_with[name] != reduce(lambda part, key: part[key], name.split("."), params):
            yield f"value of {name}"


@pytest.fixture(scope="module")
def params() -> Mapping[str, Any]:
    read: Mapping[str, Any] = yaml.safe_load((ROOT / "training/params.yaml").read_text(encoding="utf-8"))
    return read


@pytest.mark.parametrize("stage", [f"{stage}@{model}" for model in PUBLISHED for stage in PIPELINE])
def test_a_published_stage_was_run_with_what_is_here(stage: str, params: Mapping[str, Any]) -> None:
    model = stage.partition("@")[2]
    assert list(behind(stage, LOCK[stage], params)) == [], f"run it again: make train PROFILE=full MODELS={model}"


def test_what_the_last_stages_left_in_the_repository_is_what_they_left() -> None:
    kept = [entry for locked in LOCK.values() for entry in locked["outs"] if (ROOT / entry["path"]).is_file()]
    assert {entry["path"]: md5(entry["path"]) for entry in kept} == {entry["path"]: entry["md5"] for entry in kept}


def test_what_is_behind_is_seen(params: Mapping[str, Any]) -> None:
    stage = "model_building@lab"
    older = yaml.safe_load(yaml.safe_dump(LOCK[stage]))
    older["deps"] = [
        entry | ({"md5": "0" * 32} if entry["path"] == "training/lab.py" else {})
        for entry in older["deps"]
        if entry["path"] != "training/search.py"
    ]
    older["params"]["training/params.yaml"]["models.lab.building"]["curve"] = []
    found = set(behind(stage, older, params)) - set(behind(stage, LOCK[stage], params))
    assert found == {"dependency training/search.py", "content of training/lab.py", "value of models.lab.building"}
