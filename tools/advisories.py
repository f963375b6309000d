"""Compares all pinned packages with committed snapshots of published advisories, without a network.

    python -m tools.advisories              fail when a pinned version is one that an advisory names
    python -m tools.advisories take FILE --dated DATE --source WORDS
                                            renew a snapshot

A snapshot holds every package of which there are advisories, so that a package that is new here is compared, too.
FILE is OSV's export for PyPI, `PyPI/all.zip` (https://google.github.io/osv.dev/data/), or a JSON object of lists of
`{"id", "v", "severity"}` by package, `v` being a version specifier; or, for Go, the folder `data/osv` of the module
golang.org/x/vulndb, whose place and date `go mod download -json golang.org/x/vulndb@latest` tells. What is accepted
stands in `requirements/advisories.toml`, each with a reason and a day on which it has to be looked at again.
"""

import argparse
import json
import lzma
import re
import sys
import tomllib
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from tools import go_modules, osv

FOLDER: Final = Path(__file__).parent.parent / "requirements"
SNAPSHOT: Final = FOLDER / "advisories.json.xz"
GO_SNAPSHOT: Final = FOLDER / "advisories-go.json.xz"
ACCEPTED: Final = FOLDER / "advisories.toml"
STALE_DAYS: Final = 180
_PIN: Final = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[^]]*\])?==([^\s;\\]+)", re.MULTILINE)

Advisories = Mapping[str, Sequence[Mapping[str, str]]]
"""By package: the id of each, the versions that it names as a specifier, and its severity."""


class Pin(NamedTuple):
    """A pinned package, and where."""

    file: str
    name: str
    version: str


@dataclass(frozen=True, slots=True)
class Findings:
    """What the comparison found: what fails it, and what is only said."""

    faults: Sequence[str]
    warnings: Sequence[str]


@dataclass(frozen=True, slots=True)
class Ecosystem:
    """Packages of one kind.

    Attributes:
        name: of it, and of its part of what is accepted.
        snapshot: of its advisories.
        pins: what is pinned.
        named: says whether a specifier of an advisory names a version.
    """

    name: str
    snapshot: Path
    pins: Callable[[], list[Pin]]
    named: Callable[[str, str], bool]


def pins(folder: Path = FOLDER) -> list[Pin]:
    """Return everything that the files of requirements pin."""
    return [
        Pin(path.name, canonicalize_name(name), version)
        for path in sorted(folder.glob("*.txt"))
        for name, version in _PIN.findall(path.read_text(encoding="utf-8"))
    ]


def go_pins(root: Path = FOLDER.parent) -> list[Pin]:
    """Return every module of Go that is pinned, and Go itself."""
    return [Pin(*found) for found in go_modules.pinned(root)]


def _named(specifier: str, version: str) -> bool:
    return SpecifierSet(specifier).contains(version, prereleases=True)


PYTHON: Final = Ecosystem("python", SNAPSHOT, pins, _named)
GO: Final = Ecosystem("go", GO_SNAPSHOT, go_pins, go_modules.named)


def compare(
    pinned: Sequence[Pin],
    snapshot: Mapping[str, Any],
    accepted: Sequence[Mapping[str, Any]],
    today: date,
    named: Callable[[str, str], bool] = _named,
) -> Findings:
    """Compare pins with a snapshot; that little was compared is a fault, too.

    Args:
        pinned: what is pinned.
        snapshot: of advisories.
        accepted: `ids` of advisories that are, `until` when, and in which `files`; without those, in all.
        today: the day.
        named: says whether a specifier names a version.
    """
    packages: Advisories = snapshot["packages"]
    faults: list[str] = []
    warnings: list[str] = []
    used: set[tuple[int, str]] = set()
    if not any(name in packages for _, name, _ in pinned):
        faults.append("the snapshot knows nothing of what is pinned: nothing was compared")
    for file, name, version in pinned:
        for item in packages.get(name, ()):
            if not named(item["v"], version):
                continue
            says = f"{file}: {name} {version}: {item['id']} ({item['severity'].lower()}) names {item['v']}"
            place = _place(accepted, item["id"], file)
            if place is None:
                faults.append(says)
                continue
            used.add((place, item["id"]))
            until = accepted[place]["until"]
            if until < today:
                faults.append(f"{says}; accepted until {until}: look at it again")
    faults += [
        f"{item} is accepted and not found: take it out"
        for place, group in enumerate(accepted)
        for item in group["ids"]
        if (place, item) not in used
    ]
    age = (today - date.fromisoformat(snapshot["dated"])).days
    if age > STALE_DAYS:
        warnings.append(f"the snapshot is {age} days old, more than {STALE_DAYS}: take a new one")
    return Findings(faults, warnings)


def _place(accepted: Sequence[Mapping[str, Any]], item: str, file: str) -> int | None:
    """Return which of those that are accepted this one is, in this file."""
    for place, group in enumerate(accepted):
        if item in group["ids"] and file in group.get("files", (file,)):
            return place
    return None


def read_snapshot(path: Path) -> dict[str, Any]:
    """Return a snapshot that is committed."""
    snapshot: dict[str, Any] = json.loads(lzma.decompress(path.read_bytes()))
    return snapshot


def read_accepted(ecosystem: Ecosystem) -> list[dict[str, Any]]:
    """Return what is accepted of it."""
    found: list[dict[str, Any]] = tomllib.loads(ACCEPTED.read_text(encoding="utf-8")).get(ecosystem.name, [])
    return found


def take(file: Path, dated: str, source: str) -> dict[str, Any]:
    """Return a snapshot of published advisories: of Go's if it is a folder."""
    named = _named
    if file.is_dir():
        named = go_modules.named
        published: Mapping[str, Any] = osv.of_go(file)
    elif zipfile.is_zipfile(file):
        published = osv.of_pypi(file)
    else:
        read = json.loads(file.read_text(encoding="utf-8"))
        published = {canonicalize_name(name): items for name, items in read.items()}
    packages = {}
    for name in sorted(published):
        items = [{key: item[key] for key in ("id", "severity", "v")} for item in published[name]]
        packages[name] = sorted(
            (item for item in items if _readable(item["v"], named)), key=lambda item: (item["id"], item["v"])
        )
    return {"dated": date.fromisoformat(dated).isoformat(), "source": source, "packages": packages}


def _readable(specifier: str, named: Callable[[str, str], bool]) -> bool:
    try:
        named(specifier, "1.0.0")
    except ValueError:
        sys.stderr.write(f"left out, not a version specifier: {specifier}\n")
        return False
    return True


def check(ecosystem: Ecosystem, today: date) -> bool:
    """Compare what is pinned of one kind, tell what was found, and return whether it is good."""
    pinned = ecosystem.pins()
    try:
        snapshot = read_snapshot(ecosystem.snapshot)
        findings = compare(pinned, snapshot, read_accepted(ecosystem), today, ecosystem.named)
        dated, known = snapshot["dated"], sum(len(items) for items in snapshot["packages"].values())
    except (OSError, lzma.LZMAError, ValueError, KeyError) as error:
        sys.stderr.write(f"advisories: nothing of {ecosystem.name} was compared: {ecosystem.snapshot.name}: {error}\n")
        return False
    for line in (*findings.warnings, *findings.faults):
        sys.stderr.write(f"advisories: {line}\n")
    packages = len({pin.name for pin in pinned})
    sys.stdout.write(f"advisories: {ecosystem.name}: {packages} packages compared with {known} advisories of {dated}\n")
    return not findings.faults


def main() -> int:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m tools.advisories", description=(__doc__ or "").partition("\n")[0])
    commands = parser.add_subparsers(dest="command")
    taking = commands.add_parser("take", help="renew a snapshot")
    taking.add_argument("file", type=Path)
    taking.add_argument("--dated", required=True, help="when the data was published, YYYY-MM-DD")
    taking.add_argument("--source", required=True, help="whose data it is, and its licence")
    options = parser.parse_args()
    if options.command == "take":
        content = json.dumps(take(options.file, options.dated, options.source)).encode()
        snapshot = GO_SNAPSHOT if options.file.is_dir() else SNAPSHOT
        snapshot.write_bytes(lzma.compress(content, preset=lzma.PRESET_EXTREME))
        return 0
    today = datetime.now(UTC).date()
    good = [check(ecosystem, today) for ecosystem in (PYTHON, GO)]
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
