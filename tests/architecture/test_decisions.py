"""Architecture decisions follow their template, are listed in the index, and name a test that exists."""

import re
from pathlib import Path

import pytest

from tests.architecture.source_rules import ROOT

FOLDER = ROOT / "docs" / "adr"
RECORDS = sorted(path for path in FOLDER.glob("*.md") if path.name not in {"README.md", "template.md"})


@pytest.mark.parametrize("record", RECORDS, ids=lambda path: path.stem)
def test_a_record_follows_the_template(record: Path) -> None:
    text = record.read_text(encoding="utf-8")
    status = r"- Status: (accepted|superseded by \[.+\]\(.+\.md\))\n- Date: \d{4}-\d\d-\d\d\n"
    assert re.match(rf"# \S.+\n\n{status}", text)
    assert len(re.findall(r"^\*\*Decision: .+\.\*\*$", text, re.MULTILINE)) == 1
    headings = [line.removeprefix("## ") for line in text.splitlines() if line.startswith("## ")]
    assert headings == ["Context", "Consequences", "Alternatives", "Enforced by"]


@pytest.mark.parametrize("record", RECORDS, ids=lambda path: path.stem)
def test_a_record_names_a_test_that_exists(record: Path) -> None:
    enforced_by = record.read_text(encoding="utf-8").partition("## Enforced by")[2]
    tests = re.findall(r"`(tests/[\w/.-]+\.py)`", enforced_by)
    assert tests
    assert [test for test in tests if not (ROOT / test).is_file()] == []


def test_the_index_lists_every_record() -> None:
    listed = re.findall(r"\]\(([\w.-]+\.md)\)", (FOLDER / "README.md").read_text(encoding="utf-8"))
    assert sorted(set(listed) - {"template.md"}) == [record.name for record in RECORDS]
    assert RECORDS
