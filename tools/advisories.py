"""Compares all pinned packages with a committed snapshot of published advisories, without a network.

    python -m tools.advisories              fail when a pinned version is one that an advisory names
    python -m tools.advisories take FILE --dated DATE --source WORDS
                                            renew the snapshot

The snapshot holds every package of which there are advisories, so that a package that is new here is compared, too.
FILE is OSV's export for PyPI, `PyPI/all.zip` (https://google.github.io/osv.dev/data/), or a JSON object of lists of
`{"id", "v", "severity"}` by package, `v` being a version specifier. What is accepted stands in `[accepted]` of
`requirements/advisories.toml`, each with a reason and a day on which it has to be looked at again.
"""

import argparse
import json
import lzma
import re
import sys
import tomllib
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name

FOLDER: Final = Path(__file__).parent.parent / "requirements"
SNAPSHOT: Final = FOLDER / "advisories.json.xz"
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


def pins(folder: Path = FOLDER) -> list[Pin]:
    """Return everything that the files of requirements pin."""
    return [
        Pin(path.name, canonicalize_name(name), version)
        for path in sorted(folder.glob("*.txt"))
        for name, version in _PIN.findall(path.read_text(encoding="utf-8"))
    ]


def compare(
    pinned: Sequence[Pin], snapshot: Mapping[str, Any], accepted: Mapping[str, Mapping[str, Any]], today: date
) -> Findings:
    """Compare pins with a snapshot; that little was compared is a fault, too."""
    packages: Advisories = snapshot["packages"]
    faults: list[str] = []
    warnings: list[str] = []
    used: set[str] = set()
    if not any(name in packages for _, name, _ in pinned):
        faults.append("the snapshot knows nothing of what is pinned: nothing was compared")
    for file, name, version in pinned:
        for item in packages.get(name, ()):
            if not SpecifierSet(item["v"]).contains(version, prereleases=True):
                continue
            says = f"{file}: {name} {version}: {item['id']} ({item['severity'].lower()}) names {item['v']}"
            reason = accepted.get(item["id"])
            if reason is None:
                faults.append(says)
                continue
            used.add(item["id"])
            if reason["until"] < today:
                faults.append(f"{says}; accepted until {reason['until']}: look at it again")
    faults += [f"{item} is accepted and not found: take it out" for item in accepted if item not in used]
    age = (today - date.fromisoformat(snapshot["dated"])).days
    if age > STALE_DAYS:
        warnings.append(f"the snapshot is {age} days old, more than {STALE_DAYS}: take a new one")
    return Findings(faults, warnings)


def read_snapshot() -> dict[str, Any]:
    """Return the snapshot that is committed."""
    snapshot: dict[str, Any] = json.loads(lzma.decompress(SNAPSHOT.read_bytes()))
    return snapshot


def of_osv(archive: Path) -> dict[str, list[dict[str, str]]]:
    """Read OSV's export for PyPI, without the reports on packages that are nothing but malicious."""
    found: dict[str, list[dict[str, str]]] = {}
    with zipfile.ZipFile(archive) as opened:
        for member in opened.namelist():
            if member.startswith("MAL-"):
                continue
            entry = json.loads(opened.read(member))
            severity = str(entry.get("database_specific", {}).get("severity", "unknown"))
            for affected in () if entry.get("withdrawn") else entry.get("affected", ()):
                if affected.get("package", {}).get("ecosystem") == "PyPI":
                    listed = found.setdefault(canonicalize_name(affected["package"]["name"]), [])
                    listed += [{"id": entry["id"], "v": item, "severity": severity} for item in _specifiers(affected)]
    return found


def _specifiers(affected: Mapping[str, Any]) -> Iterator[str]:
    """Yield the versions that an entry of OSV names, as specifiers."""
    for span in affected.get("ranges", ()):
        if span.get("type") != "ECOSYSTEM":
            continue
        start = ""
        for event in span["events"]:
            if "introduced" in event:
                start = "" if event["introduced"] == "0" else f">={event['introduced']}"
                continue
            end = f"<{event['fixed']}" if "fixed" in event else f"<={event['last_affected']}"
            yield f"{start},{end}".strip(",")
            start = "-"
        if start != "-":
            yield start or ">=0"
    if not any(span.get("type") == "ECOSYSTEM" for span in affected.get("ranges", ())):
        yield from (f"=={version}" for version in affected.get("versions", ()))


def take(file: Path, dated: str, source: str) -> dict[str, Any]:
    """Return a snapshot of published advisories."""
    if zipfile.is_zipfile(file):
        published: Mapping[str, Any] = of_osv(file)
    else:
        read = json.loads(file.read_text(encoding="utf-8"))
        published = {canonicalize_name(name): items for name, items in read.items()}
    packages = {}
    for name in sorted(published):
        items = [{key: item[key] for key in ("id", "severity", "v")} for item in published[name]]
        packages[name] = sorted(
            (item for item in items if _readable(item["v"])), key=lambda item: (item["id"], item["v"])
        )
    return {"dated": date.fromisoformat(dated).isoformat(), "source": source, "packages": packages}


def _readable(specifier: str) -> bool:
    try:
        SpecifierSet(specifier)
    except InvalidSpecifier:
        sys.stderr.write(f"left out, not a version specifier: {specifier}\n")
        return False
    return True


def main() -> int:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m tools.advisories", description=(__doc__ or "").partition("\n")[0])
    commands = parser.add_subparsers(dest="command")
    taking = commands.add_parser("take", help="renew the snapshot")
    taking.add_argument("file", type=Path)
    taking.add_argument("--dated", required=True, help="when the data was published, YYYY-MM-DD")
    taking.add_argument("--source", required=True, help="whose data it is, and its licence")
    options = parser.parse_args()
    if options.command == "take":
        content = json.dumps(take(options.file, options.dated, options.source)).encode()
        SNAPSHOT.write_bytes(lzma.compress(content, preset=lzma.PRESET_EXTREME))
        return 0
    snapshot = read_snapshot()
    accepted = tomllib.loads(ACCEPTED.read_text(encoding="utf-8"))["accepted"]
    pinned = pins()
    findings = compare(pinned, snapshot, accepted, datetime.now(UTC).date())
    for line in (*findings.warnings, *findings.faults):
        sys.stderr.write(f"advisories: {line}\n")
    packages = len({pin.name for pin in pinned})
    known = sum(len(items) for items in snapshot["packages"].values())
    sys.stdout.write(f"advisories: {packages} packages compared with {known} advisories of {snapshot['dated']}\n")
    return 1 if findings.faults else 0


if __name__ == "__main__":
    sys.exit(main())
