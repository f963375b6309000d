"""What is locked can be installed on arm64, under Linux and macOS: each package has a wheel there, or is left out."""

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache

import pytest
from packaging.markers import Marker
from packaging.tags import Tag, compatible_tags, cpython_tags, mac_platforms
from packaging.utils import parse_wheel_filename

from tests.architecture.source_rules import ROOT

SETS = ("serve", "run", "quick", "full", "build", "learn", "torch")
PYTHONS = ("3.11", "3.12", "3.13")


@dataclass(frozen=True, slots=True)
class Platform:
    """A platform as markers name it, and as wheels do."""

    markers: Mapping[str, str]
    wheels: tuple[str, ...]


def linux(machine: str) -> Platform:
    """A distribution with glibc 2.36, which is Debian 12's, as the image is."""
    names = tuple(f"manylinux_2_{minor}_{machine}" for minor in range(36, 4, -1))
    markers = {"sys_platform": "linux", "platform_system": "Linux", "platform_machine": machine}
    return Platform(markers, (*names, f"manylinux2014_{machine}"))


PLATFORMS = {
    "linux/amd64": linux("x86_64"),
    "linux/arm64": linux("aarch64"),
    "macOS 14/arm64": Platform(
        {"sys_platform": "darwin", "platform_system": "Darwin", "platform_machine": "arm64"},
        tuple(mac_platforms((14, 0), "arm64")),
    ),
}


def tags(platform: Platform, python: str) -> set[Tag]:
    major, minor = map(int, python.split("."))
    of_cpython = cpython_tags((major, minor), platforms=platform.wheels)
    return {*of_cpython, *compatible_tags((major, minor), f"cp{major}{minor}", platform.wheels)}


@cache
def files() -> dict[str, str]:
    """Name of each locked file by its hash."""
    packages = tomllib.loads((ROOT / "poetry.lock").read_text(encoding="utf-8"))["package"]
    return {file["hash"]: file["file"] for package in packages for file in package["files"]}


def requirements(name: str) -> Iterator[tuple[str, str, list[str]]]:
    """Yield package, marker and hashes."""
    text = (ROOT / "requirements" / f"{name}.txt").read_text(encoding="utf-8").replace("\\\n", " ")
    for line in text.splitlines():
        match = re.fullmatch(r"([a-z0-9-]+)==\S+ ; (.+?)\s+((?:--hash=\S+\s*)+)", line)
        assert match, line
        yield match[1], match[2], re.findall(r"--hash=(\S+)", match[3])


def without_wheel(name: str, platform: Platform, python: str) -> tuple[list[str], int]:
    """The packages of a set that are wanted on a platform and have no wheel for it, and how many were looked at."""
    environment = {
        **platform.markers,
        "os_name": "posix",
        "python_version": python,
        "python_full_version": f"{python}.9",
        "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
    }
    fitting, missing, wanted = tags(platform, python), [], 0
    for package, marker, hashes in requirements(name):
        if not Marker(marker).evaluate(environment):
            continue
        wanted += 1
        wheels = [file for digest in hashes if (file := files().get(digest, "")).endswith(".whl")]
        if not any(parse_wheel_filename(file)[3] & fitting for file in wheels):
            missing.append(package)
    return missing, wanted


@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize("name", SETS)
def test_every_package_has_a_wheel(platform: str, name: str) -> None:
    for python in PYTHONS:
        missing, wanted = without_wheel(name, PLATFORMS[platform], python)
        assert (missing, wanted > 0) == ([], True), python


def test_a_platform_that_nobody_builds_for_is_noticed() -> None:
    assert "numpy" in without_wheel("serve", linux("sparc64"), "3.11")[0]
