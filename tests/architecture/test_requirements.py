"""The exported requirements agree with `poetry.lock`, and both with `pyproject.toml`."""

import re
import tomllib
from itertools import pairwise
from typing import Any, NamedTuple

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.architecture.source_rules import ROOT

SETS = ("serve", "run", "quick", "full")
IMAGES = ("build", "learn", "torch")


class Pin(NamedTuple):
    """One package as it may be installed."""

    version: str
    hashes: frozenset[str]


def requirements(name: str) -> dict[str, Pin]:
    text = (ROOT / "requirements" / f"{name}.txt").read_text(encoding="utf-8").replace("\\\n", "")
    pins = {}
    for line in text.splitlines():
        requirement, *hashes = line.split(" --hash=")
        match = re.fullmatch(r"([a-z0-9-]+)==(\S+) ; .+", requirement.strip())
        assert match, requirement
        package, version = match.groups()
        assert package not in pins, f"{package} is listed twice"
        pins[package] = Pin(version, frozenset(entry.strip() for entry in hashes))
    return pins


def locked_packages() -> list[dict[str, Any]]:
    packages: list[dict[str, Any]] = tomllib.loads((ROOT / "poetry.lock").read_text(encoding="utf-8"))["package"]
    return packages


def served(package: dict[str, Any]) -> bool:
    """Whether the service itself needs a locked package, without any extra."""
    markers = package.get("markers", "")
    marker = markers.get("main", "") if isinstance(markers, dict) else markers
    # What an extra needs on every version may be what the service needs on some: `… or extra == "…"`.
    extra = "extra ==" in marker and not re.fullmatch(r"(?:(?!extra)[^()])+ or extra == \"[\w-]+\"", marker)
    return "main" in package["groups"] and not extra


def declared() -> list[Requirement]:
    """Every requirement of pyproject.toml, of extras and groups too."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    lists = [project["project"]["dependencies"], *project["project"]["optional-dependencies"].values()]
    lists += project["dependency-groups"].values()
    return [Requirement(line) for lines in lists for line in lines]


@pytest.mark.parametrize("name", SETS + IMAGES)
def test_versions_and_hashes_are_those_of_the_lock(name: str) -> None:
    locked = {
        package["name"]: Pin(package["version"], frozenset(file["hash"] for file in package["files"]))
        for package in locked_packages()
    }
    wrong = {package: pin for package, pin in requirements(name).items() if locked.get(package) != pin}
    assert wrong == {}


def test_the_service_gets_all_that_it_needs_and_nothing_else() -> None:
    assert set(requirements("serve")) == {package["name"] for package in locked_packages() if served(package)}


def test_the_largest_set_is_the_whole_lock() -> None:
    assert set(requirements("full")) == {package["name"] for package in locked_packages()}


def test_each_set_holds_the_one_before_it() -> None:
    pins = [requirements(name).items() for name in SETS]
    assert all(smaller < larger for smaller, larger in pairwise(pins))


def test_images_are_made_of_the_same_packages() -> None:
    for name in ("learn", "torch"):
        assert requirements("serve").items() < requirements(name).items() < requirements("full").items()
    assert set(requirements("build")) == {"poetry-core"}
    assert requirements("build").items() < requirements("run").items()


def test_only_the_largest_set_has_pytorch() -> None:
    assert [name for name in SETS if "torch" in requirements(name)] == ["full"]


def test_the_lock_satisfies_what_the_project_declares() -> None:
    versions = {package["name"]: package["version"] for package in locked_packages()}
    stale = [
        str(requirement)
        for requirement in declared()
        if not requirement.specifier.contains(versions.get(canonicalize_name(requirement.name), "0"), prereleases=True)
    ]
    assert stale == []


def test_packages_come_from_the_normal_index() -> None:
    assert [package["name"] for package in locked_packages() if "source" in package] == []
    assert "source" not in tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["poetry"]
