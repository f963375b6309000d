"""What the Dockerfile says agrees with the rest of the repository, and only what it copies reaches the builder."""

import re
import tomllib
from fnmatch import fnmatch
from pathlib import Path
from typing import Final

import pytest

from mlapi.settings import DEFAULT_BUNDLE, LAB_BUNDLE
from tests.architecture.source_rules import ROOT

DOCKERFILE: Final = (ROOT / "Dockerfile").read_text(encoding="utf-8")
IGNORED: Final = (ROOT / ".dockerignore").read_text(encoding="utf-8").split("\n")
ARGUMENTS: Final = dict(re.findall(r"^ARG (\w+)=(\S+)$", DOCKERFILE, re.MULTILINE))
SOURCES: Final = [
    source
    for line in re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.MULTILINE)
    for source in re.sub(r"\$\{(\w+)\}", lambda name: ARGUMENTS[name[1]], line).split()
]


def test_the_version_is_that_of_the_project() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert ARGUMENTS["VERSION"] == project["version"]


def test_the_base_is_one_exact_version() -> None:
    assert re.fullmatch(r"docker\.io/library/python:3\.11\.\d+-slim-[a-z]+", ARGUMENTS["PYTHON"])
    assert {base for base, _ in re.findall(r"^FROM (\S+)( AS \w+)?$", DOCKERFILE, re.MULTILINE)} == {
        "${PYTHON}",
        "packages",
    }


def test_the_default_model_lies_where_the_service_looks_for_it() -> None:
    assert ROOT / ARGUMENTS["BUNDLE"] == DEFAULT_BUNDLE


def test_the_small_model_is_in_every_image_and_verified_as_the_other_is() -> None:
    assert ROOT / ARGUMENTS["LAB"] == LAB_BUNDLE
    for name in ("LAB", "BUNDLE"):
        assert f"COPY ${{{name}}} /bundle/${{{name}}}\n" in DOCKERFILE
        assert f'bundle verify "/bundle/${{{name}}}"' in DOCKERFILE


def test_the_small_model_is_small() -> None:
    assert sum(path.stat().st_size for path in LAB_BUNDLE.iterdir()) < 5e6


def test_the_user_is_a_number_and_not_root() -> None:
    (user,) = re.findall(r"^USER (\d+):(\d+)$", DOCKERFILE, re.MULTILINE)
    assert all(int(number) > 0 for number in user)


@pytest.mark.parametrize("source", SOURCES)
def test_what_is_copied_exists_and_reaches_the_builder(source: str) -> None:
    assert (ROOT / source).exists()
    assert any(line.startswith("!") and _covers(line[1:], source) for line in IGNORED)


def test_nothing_else_reaches_the_builder() -> None:
    assert next(line for line in IGNORED if line and not line.startswith("#")) == "*"
    allowed = {line[1:] for line in IGNORED if line.startswith("!")}
    flavours = {f"requirements/{name}.txt" for name in ("learn", "ray", "serve", "torch")}
    assert {name for name in allowed if not any(_covers(name, source) for source in SOURCES)} <= flavours
    assert flavours <= allowed


def _covers(allowed: str, source: str) -> bool:
    return fnmatch(source, allowed) or Path(allowed) in Path(source).parents
