"""Every example is short and does what its first line says; that of Spark is longer, and has a test elsewhere."""

import subprocess
import sys
from pathlib import Path

from tests.architecture.source_rules import ROOT

ELSEWHERE = {"spark.py": ROOT / "tests" / "e2e" / "test_spark_example.py"}
EXAMPLES = sorted(path for path in (ROOT / "examples").glob("*.py") if path.name not in ELSEWHERE)
LONGEST = 10
"""Lines, the docstring and blank ones not counted."""


def run(name: str, given: str = "") -> list[str]:
    command = [sys.executable, str(ROOT / "examples" / name)]
    done = subprocess.run(command, cwd=ROOT, input=given, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def code(path: Path) -> list[str]:
    return [line for line in path.read_text(encoding="utf-8").splitlines()[1:] if line]


def test_each_is_short_and_has_a_test() -> None:
    assert [path.name for path in EXAMPLES] == ["classify.py", "rank_lines.py"]
    assert [path.name for path in EXAMPLES if len(code(path)) > LONGEST] == []
    assert all(f"examples/{name}" in test.read_text(encoding="utf-8") for name, test in ELSEWHERE.items())


def test_classify() -> None:
    good, bad = run("classify.py")
    assert good.startswith("POSITIVE 0.")
    assert bad.startswith("NEGATIVE 0.")


def test_rank_lines() -> None:
    lines = ["A dreadful, tedious waste of two hours.", "A warm and funny film.", "It has its moments."]
    ranked = run("rank_lines.py", "\n".join(lines))
    assert sorted(ranked) == sorted(lines)
    assert (ranked[0], ranked[-1]) == (lines[1], lines[0])
