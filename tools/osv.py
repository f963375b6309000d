"""Reads published advisories in OSV's format: its export for PyPI, and Go's vulnerability database.

Each is returned by package as a list of `{"id", "v", "severity"}`, `v` being the versions that it names.
"""

import json
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

Published = dict[str, list[dict[str, str]]]


def of_pypi(archive: Path) -> Published:
    """Read OSV's export for PyPI, without the reports on packages that are nothing but malicious."""
    with zipfile.ZipFile(archive) as opened:
        names = [name for name in opened.namelist() if not name.startswith("MAL-")]
        found = _published((json.loads(opened.read(name)) for name in names), "PyPI", "ECOSYSTEM")
    by_name: Published = {}
    for name, items in found.items():
        by_name.setdefault(canonicalize_name(name), []).extend(items)
    return by_name


def of_go(folder: Path) -> Published:
    """Read Go's vulnerability database: the files in `data/osv` of the module golang.org/x/vulndb."""
    files = sorted(folder.glob("GO-*.json"))
    return _published((json.loads(file.read_text(encoding="utf-8")) for file in files), "Go", "SEMVER")


def _published(entries: Iterable[Mapping[str, Any]], ecosystem: str, kind: str) -> Published:
    found: Published = {}
    for entry in entries:
        severity = str(entry.get("database_specific", {}).get("severity", "unknown"))
        for affected in () if entry.get("withdrawn") else entry.get("affected", ()):
            if affected.get("package", {}).get("ecosystem") == ecosystem:
                listed = found.setdefault(affected["package"]["name"], [])
                listed += [{"id": entry["id"], "v": item, "severity": severity} for item in _named(affected, kind)]
    return found


def _named(affected: Mapping[str, Any], kind: str) -> Iterator[str]:
    """Yield the versions that an entry names, as specifiers; `kind` is how its ranges order versions.

    They are those within its ranges and those that it lists (OSV schema, section "Evaluation").
    """
    spans = [span for span in affected.get("ranges", ()) if span.get("type") == kind]
    specifiers = list(chain.from_iterable(map(_specifiers, spans)))
    yield from specifiers
    # Most lists only spell the ranges out.
    yield from (
        f"=={version}"
        for version in affected.get("versions", ())
        if not any(_within(version, specifier) for specifier in specifiers)
    )


def _specifiers(span: Mapping[str, Any]) -> Iterator[str]:
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


def _within(version: str, specifier: str) -> bool:
    try:
        return SpecifierSet(specifier).contains(version, prereleases=True)
    except ValueError:
        return False
