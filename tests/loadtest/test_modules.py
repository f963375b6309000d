"""The load test's own modules are kept like the rest: one job each, said in the first line, and short."""

import re

from tests.architecture.source_rules import ROOT

MODULES = {path.relative_to(ROOT): path.read_text(encoding="utf-8") for path in (ROOT / "loadtest").rglob("*.js")}
ENTRY = (ROOT / "load.js").read_text(encoding="utf-8")


def test_each_says_its_job_and_is_short() -> None:
    assert len(MODULES) > 5
    for path, text in [*MODULES.items(), (ROOT / "load.js", ENTRY)]:
        assert re.match(r"// [A-Z].+\.\n\n", text), path
        assert text.count("\n") <= 300, path
        assert max(map(len, text.splitlines())) <= 120, path


def test_nothing_is_fetched_from_elsewhere() -> None:
    found = [
        (path, source)
        for path, text in [*MODULES.items(), (ROOT / "load.js", ENTRY)]
        for source in re.findall(r"\b(?:from|import|require)\b[\s(]*['\"]([^'\"]+)['\"]", text)
    ]
    assert len(found) > 10
    assert [(path, source) for path, source in found if not re.match(r"\./|k6(/|$)", source)] == []
