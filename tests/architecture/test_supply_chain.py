"""Advisories and licences of everything that is pinned: both checks pass, and can fail."""

import json
import zipfile
from dataclasses import replace
from datetime import date
from importlib.metadata import Distribution
from pathlib import Path
from typing import Any

import pytest

from tools import advisories, go_modules, licences
from tools.advisories import GO, PYTHON, Ecosystem, Pin

TODAY = date(2026, 11, 29)
SNAPSHOT = {
    "dated": "2026-11-01",
    "packages": {"h11": [{"id": "GHSA-vqfr-h8mv-ghfj", "severity": "CRITICAL", "v": "<0.16.0"}]},
}
OLD = Pin("serve.txt", "h11", "0.14.0")
KNOWN: dict[str, Any] = {"ids": ["GHSA-vqfr-h8mv-ghfj"], "until": TODAY}
GO_FILES = sorted((licences.ROOT / "tools").rglob("go.mod"))
GO_MOD = """module x
go 1.26.0
require example.org/one v1.2.3 // indirect
require (
    example.org/two/v2 v2.0.0-20260101000000-abcdefabcdef
    example.org/three v3.0.0+incompatible // indirect
    example.org/four v0.1.0
    example.org/five v0.1.0
)
tool (
    example.org/one/cmd
)
exclude example.org/one v1.2.2
replace example.org/four => ../four
replace (
    example.org/five v0.1.0 => example.org/other v0.1.1
    example.org/one v1.2.2 => example.org/one v1.2.1
)
"""


@pytest.mark.parametrize(
    ("kind", "files", "advised"),
    [
        (PYTHON, {"serve.txt", "full.txt", "learn.txt", "torch.txt", "mlflow.txt"}, 10_000),
        (GO, {"go.txt", *(file.relative_to(licences.ROOT).as_posix() for file in GO_FILES)}, 8_000),
    ],
    ids=lambda value: value.name if isinstance(value, Ecosystem) else "",
)
def test_no_pinned_version_is_one_that_an_advisory_names(kind: Ecosystem, files: set[str], advised: int) -> None:
    pinned, snapshot = kind.pins(), advisories.read_snapshot(kind.snapshot)
    assert {pin.file for pin in pinned} >= files
    assert sum(len(items) for items in snapshot["packages"].values()) > advised
    accepted, day = advisories.read_accepted(kind), date.fromisoformat(snapshot["dated"])
    # Whether a reason holds is looked at on its day, by `make check`; not by whoever runs an old commit's tests.
    assert advisories.compare(pinned, snapshot, accepted, day, kind.named).faults == []


@pytest.mark.parametrize(
    ("kind", "pin", "says"),
    [
        (PYTHON, OLD, "GHSA-vqfr-h8mv-ghfj (critical) names <0.16.0"),
        (GO, Pin("tools/go.mod", "golang.org/x/net", "v0.61.0"), "GO-2026-6860 (unknown) names <0.62.0"),
        (GO, Pin("go.txt", "stdlib", "1.20.0"), "GO-2023-2102"),
    ],
    ids=["of Python", "of Go", "Go itself"],
)
def test_a_committed_snapshot_knows_a_version_that_is_vulnerable(kind: Ecosystem, pin: Pin, says: str) -> None:
    findings = advisories.compare([pin], advisories.read_snapshot(kind.snapshot), [], TODAY, kind.named)
    assert any(says in fault for fault in findings.faults)


def test_what_cannot_be_read_is_not_taken_for_good(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    broken = tmp_path / "broken.json.xz"
    broken.write_bytes(GO.snapshot.read_bytes()[:-100])
    nowhere = tmp_path / "none.json.xz"
    strange = replace(GO, pins=lambda: [Pin("tools/go.mod", "golang.org/x/net", "newest")])
    for kind in (replace(GO, snapshot=broken), replace(PYTHON, snapshot=nowhere), strange):
        assert not advisories.check(kind, TODAY)
        assert f"nothing of {kind.name} was compared" in capsys.readouterr().err
    assert not advisories.check(replace(GO, pins=list), TODAY)
    assert "nothing was compared" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("pinned", "accepted", "says"),
    [
        ([OLD], [], "h11 0.14.0: GHSA-vqfr-h8mv-ghfj"),
        ([OLD], [KNOWN | {"until": date(2026, 11, 28)}], "look at it again"),
        ([OLD], [KNOWN | {"files": ["full.txt"]}], "serve.txt: h11 0.14.0"),
        ([OLD], [KNOWN, KNOWN], "take it out"),
        ([OLD._replace(version="0.16.0")], [KNOWN], "take it out"),
        ([Pin("serve.txt", "other", "1")], [], "nothing was compared"),
        ([], [], "nothing was compared"),
    ],
    ids=[
        "a vulnerable version",
        "an old acceptance",
        "an acceptance elsewhere",
        "an acceptance twice",
        "a needless acceptance",
        "other packages",
        "nothing",
    ],
)
def test_the_comparison_fails(pinned: list[Pin], accepted: list[dict[str, Any]], says: str) -> None:
    assert any(says in fault for fault in advisories.compare(pinned, SNAPSHOT, accepted, TODAY).faults)


def test_what_is_accepted_for_a_while_passes_and_an_old_snapshot_only_warns() -> None:
    assert advisories.compare([OLD], SNAPSHOT, [KNOWN], TODAY) == advisories.Findings([], [])
    findings = advisories.compare([OLD._replace(version="0.16.0")], SNAPSHOT, [], date(2027, 11, 1))
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
            "affected": [
                {
                    "package": package,
                    "ranges": [{"type": "ECOSYSTEM", "events": spans}, {"type": "GIT", "events": []}],
                    "versions": ["1.1", "3.0", "not a version"],
                }
            ],
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
            for fault in advisories.compare([Pin("a.txt", "some-package", version)], snapshot, [], TODAY).faults
        )
        for version in ("1.1", "1.2", "2.3", "2.4", "3.0", "3.1", "3.3", "4.0", "9")
    }
    assert found == {
        "1.1": ["GHSA-1"],
        "1.2": [],
        "2.3": ["GHSA-1"],
        "2.4": [],
        "3.0": ["GHSA-1"],
        "3.1": ["PYSEC-2"],
        "3.3": [],
        "4.0": ["GHSA-1"],
        "9": ["GHSA-1"],
    }


def test_go_s_database_is_read(tmp_path: Path) -> None:
    package = {"ecosystem": "Go", "name": "example.org/one"}
    events = [{"introduced": "0"}, {"fixed": "1.2.3"}, {"introduced": "2.0.0"}]
    affected = [{"package": package, "ranges": [{"type": "SEMVER", "events": events}]}]
    for number, more in ((1, {}), (2, {"withdrawn": "2026-01-01T00:00:00Z"})):
        entry = {"id": f"GO-2026-000{number}", "affected": affected, **more}
        (tmp_path / f"GO-2026-000{number}.json").write_text(json.dumps(entry), encoding="utf-8")
    taken = advisories.take(tmp_path, "2026-11-01", "Go")
    assert taken["packages"] == {
        "example.org/one": [
            {"id": "GO-2026-0001", "severity": "unknown", "v": "<1.2.3"},
            {"id": "GO-2026-0001", "severity": "unknown", "v": ">=2.0.0"},
        ]
    }


def test_what_a_go_mod_requires_is_what_it_is_built_with() -> None:
    assert go_modules.modules(GO_MOD) == {
        "example.org/one": "v1.2.3",
        "example.org/two/v2": "v2.0.0-20260101000000-abcdefabcdef",
        "example.org/three": "v3.0.0+incompatible",
        "example.org/other": "v0.1.1",
    }


@pytest.mark.parametrize(
    ("version", "named"),
    [
        ("v1.2.2", False),
        ("v1.3.0-rc.1", False),
        ("v1.3.0", True),
        ("v1.10.0+incompatible", True),
        ("v2.0.0-20260101000000-abcdefabcdef", True),
        ("v2.0.0-rc.2", True),
        ("v2.0.0-rc.11", True),
        ("v2.0.0", False),
    ],
)
def test_versions_of_go_modules_have_their_order(version: str, named: bool) -> None:  # noqa: FBT001  the table's
    assert go_modules.named(">=1.3.0,<2.0.0", version) is named
    assert go_modules.named("<2.0.0-rc.11", "2.0.0-rc.2")
    for specifier in ("", "<=1.0", "==1.0", "<x"):
        with pytest.raises(ValueError, match="not a"):
            go_modules.named(specifier, "0.1.0")


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
