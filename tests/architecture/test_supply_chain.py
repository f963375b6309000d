"""Advisories and licences of everything that is pinned: both checks pass, and can fail."""

import json
import tomllib
import zipfile
from datetime import date
from importlib.metadata import Distribution
from pathlib import Path
from typing import Any

import pytest

from tools import advisories, licences
from tools.advisories import Pin

TODAY = date(2026, 11, 29)
SNAPSHOT = {
    "dated": "2026-11-01",
    "packages": {"h11": [{"id": "GHSA-vqfr-h8mv-ghfj", "severity": "CRITICAL", "v": "<0.16.0"}]},
}
OLD = Pin("serve.txt", "h11", "0.14.0")


def test_no_pinned_version_is_one_that_an_advisory_names() -> None:
    snapshot = advisories.read_snapshot()
    accepted = tomllib.loads(advisories.ACCEPTED.read_text(encoding="utf-8"))["accepted"]
    pinned = advisories.pins()
    assert {pin.file for pin in pinned} >= {"serve.txt", "full.txt", "learn.txt", "torch.txt", "mlflow.txt"}
    assert sum(len(items) for items in snapshot["packages"].values()) > 10_000
    # Whether a reason holds is looked at on its day, by `make check`; not by whoever runs an old commit's tests.
    assert advisories.compare(pinned, snapshot, accepted, date.fromisoformat(snapshot["dated"])).faults == []


def test_the_committed_snapshot_knows_a_version_that_is_vulnerable() -> None:
    findings = advisories.compare([OLD], advisories.read_snapshot(), {}, TODAY)
    assert any("GHSA-vqfr-h8mv-ghfj (critical) names <0.16.0" in fault for fault in findings.faults)


@pytest.mark.parametrize(
    ("pinned", "accepted", "says"),
    [
        ([OLD], {}, "h11 0.14.0: GHSA-vqfr-h8mv-ghfj"),
        ([OLD], {"GHSA-vqfr-h8mv-ghfj": {"until": date(2026, 11, 28)}}, "look at it again"),
        ([OLD._replace(version="0.16.0")], {"GHSA-x": {"until": date(2027, 1, 1)}}, "take it out"),
        ([Pin("serve.txt", "other", "1")], {}, "nothing was compared"),
        ([], {}, "nothing was compared"),
    ],
    ids=["a vulnerable version", "an old acceptance", "a needless acceptance", "other packages", "nothing"],
)
def test_the_comparison_fails(pinned: list[Pin], accepted: dict[str, dict[str, Any]], says: str) -> None:
    assert any(says in fault for fault in advisories.compare(pinned, SNAPSHOT, accepted, TODAY).faults)


def test_what_is_accepted_for_a_while_passes_and_an_old_snapshot_only_warns() -> None:
    accepted = {"GHSA-vqfr-h8mv-ghfj": {"until": TODAY}}
    assert advisories.compare([OLD], SNAPSHOT, accepted, TODAY) == advisories.Findings([], [])
    findings = advisories.compare([OLD._replace(version="0.16.0")], SNAPSHOT, {}, date(2027, 11, 1))
    assert (findings.faults, len(findings.warnings)) == ([], 1)
    assert "365 days old" in findings.warnings[0]


def test_osv_s_own_export_is_read(tmp_path: Path) -> None:
    package = {"ecosystem": "PyPI", "name": "Some.Package"}
    spans = [
        {"introduced": "0"},
        {"fixed": "1.2"},
        {"introduced": "2.0"},
        {"last_affected": "2.3"},
        {"introduced": "4"},
    ]
    entries = {
        "GHSA-1.json": {
            "id": "GHSA-1",
            "database_specific": {"severity": "HIGH"},
            "affected": [{"package": package, "ranges": [{"type": "ECOSYSTEM", "events": spans}]}],
        },
        "PYSEC-2.json": {"id": "PYSEC-2", "affected": [{"package": package, "versions": ["3.1", "3.2"]}]},
        "GHSA-3.json": {
            "id": "GHSA-3",
            "withdrawn": "2026-01-01",
            "affected": [{"package": package, "versions": ["9"]}],
        },
        "MAL-4.json": {"id": "MAL-4", "affected": [{"package": package, "versions": ["1"]}]},
        "GHSA-5.json": {"id": "GHSA-5", "affected": [{"package": package | {"ecosystem": "npm"}, "versions": ["1"]}]},
    }
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        for name, entry in entries.items():
            archive.writestr(name, json.dumps(entry))
    snapshot = advisories.take(tmp_path / "all.zip", "2026-11-01", "OSV")
    found = {
        version: sorted(
            fault.split()[3]
            for fault in advisories.compare([Pin("a.txt", "some-package", version)], snapshot, {}, TODAY).faults
        )
        for version in ("1.1", "1.2", "2.3", "2.4", "3.1", "3.3", "4.0", "9")
    }
    assert found == {
        "1.1": ["GHSA-1"],
        "1.2": [],
        "2.3": ["GHSA-1"],
        "2.4": [],
        "3.1": ["PYSEC-2"],
        "3.3": [],
        "4.0": ["GHSA-1"],
        "9": ["GHSA-1"],
    }


@pytest.fixture(scope="module")
def installed() -> dict[str, Distribution]:
    return licences.installed()


def test_every_licence_is_listed_and_allowed_where_it_goes(installed: dict[str, Distribution]) -> None:
    page = licences.PAGE.read_text(encoding="utf-8")
    assert licences.faults(page, licences.rules(), installed) == []
    assert licences.rows(page)["psycopg"] == ("LGPL-3.0-only", "learn")


@pytest.mark.parametrize(
    ("row", "other", "says"),
    [
        ("| `h11` | MIT | serve, learn, ray, torch |\n", "", "h11 has no row"),
        ("| `h11` | MIT |", "| `h11` | GPL-3.0-only |", "h11: GPL-3.0-only is not allowed in serve"),
        ("| `h11` | MIT |", "| `h11` | unknown |", "h11: unknown is not allowed in serve"),
        ("| `h11` | MIT |", "| `h11` | ISC |", "h11 says MIT, not ISC"),
        ("| `psycopg` | LGPL-3.0-only | learn |", "| `psycopg` | LGPL-3.0-only | tools |", "psycopg goes into learn"),
        ("| `h11` |", "| `h12` | MIT | tools |\n| `h11` |", "h12 is not pinned any more"),
    ],
)
def test_the_check_of_licences_fails(installed: dict[str, Distribution], row: str, other: str, says: str) -> None:
    page = licences.PAGE.read_text(encoding="utf-8")
    assert row in page
    changed = page.replace(row, other)
    # Two packages are enough to see that what is installed is read.
    few = {name: installed[name] for name in ("h11", "psycopg")}
    assert any(says in fault for fault in licences.faults(changed, licences.rules(), few))


@pytest.mark.parametrize(
    ("licence", "good"),
    [
        ("MIT", True),
        ("MIT AND GPL-3.0-only", False),
        ("GPL-3.0-only OR MIT", True),
        ("MIT AND (GPL-3.0-only OR MIT)", True),
        ("", False),
    ],
)
def test_an_expression_is_allowed_if_it_can_be_satisfied(licence: str, good: bool) -> None:  # noqa: FBT001  the table's
    assert licences.allowed(licence, ["MIT"]) is good


def test_every_program_in_go_is_listed() -> None:
    listed = " ".join(map(str, licences.rules()["go"]))
    tools = (licences.ROOT / "tools" / "go.mod").read_text(encoding="utf-8").partition("tool (")[2].partition(")")[0]
    names = [line.strip().removesuffix("/v5").rpartition("/")[2] for line in tools.splitlines() if line.strip()]
    assert len(names) > 5
    assert [name for name in names if name not in listed and name != "cmd"] == []
