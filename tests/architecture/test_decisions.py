"""Architecture decisions follow their template, are listed in the index, and name a test that exists."""

import re
from pathlib import Path

import pytest

from tests.architecture.source_rules import ROOT

MAX_WORDS = 500

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
def test_a_record_is_short(record: Path) -> None:
    assert len(record.read_text(encoding="utf-8").split()) <= MAX_WORDS


def named_tests(text: str) -> list[str]:
    """Every test file that a text names in backquotes, by its path or by its name alone."""
    return re.findall(r"`(tests/[\w/.-]+\.py|test_\w+\.py)`", text)


def files(named: str) -> list[Path]:
    """The test files that such a name can mean: one, if it is right."""
    return [ROOT / named] if "/" in named and (ROOT / named).is_file() else list((ROOT / "tests").rglob(named))


@pytest.mark.parametrize("record", RECORDS, ids=lambda path: path.stem)
def test_a_record_names_a_test_that_exists(record: Path) -> None:
    text = record.read_text(encoding="utf-8")
    assert named_tests(text.partition("## Enforced by")[2])
    assert {name: found for name in named_tests(text) if len(found := files(name)) != 1} == {}


def test_a_name_that_means_no_file_or_several_is_found() -> None:
    text = "`tests/unit/cache/test_codec.py`, `test_coalescer.py`, `test_gone.py`, `tests/gone.py`, `test_tracing.py`"
    assert [len(files(name)) for name in named_tests(text)] == [1, 1, 0, 0, 2]


def test_the_index_lists_every_record() -> None:
    listed = re.findall(r"\]\(([\w.-]+\.md)\)", (FOLDER / "README.md").read_text(encoding="utf-8"))
    assert sorted(set(listed) - {"template.md"}) == [record.name for record in RECORDS]
    assert RECORDS
