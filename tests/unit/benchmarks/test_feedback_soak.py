"""The soak of the feedback sends, sees the outage, and would notice what it looks for."""

import argparse
import os
from collections import Counter

import pytest

from benchmarks.feedback_soak import Tally, _report, main
from tools.private_postgres import find_programs


def test_a_short_one_keeps_its_promises(capsys: pytest.CaptureFixture[str]) -> None:
    if find_programs() is None and not os.environ.get("CI"):
        pytest.skip("no PostgreSQL found")
    assert main(["--rate", "20", "--seconds", "2", "--outage", "0.3"]) == 0
    said = capsys.readouterr().out
    assert "acknowledged and not stored: 0" in said
    assert "FAILED" not in said


@pytest.mark.parametrize(
    ("statuses", "missing", "verified", "words"),
    [
        ({201: 90, 503: 10}, 1, True, "is missing"),
        ({201: 90, 503: 10}, 0, False, "is broken"),
        ({201: 89, 503: 10, 500: 1}, 0, True, "something else"),
        ({201: 89, 503: 10, 0: 1}, 0, True, "something else"),
        ({201: 50, 503: 10}, 0, True, "the rate was not kept"),
        ({201: 90, 503: 10, "took_s": 12}, 0, True, "the rate was not kept"),
        ({201: 100}, 0, True, "the outage was not seen"),
        ({503: 100}, 0, True, "nothing was acknowledged"),
    ],
)
def test_what_it_looks_for_fails_it(
    statuses: dict[int | str, int], missing: int, *, verified: bool, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    options = argparse.Namespace(rate=10.0, seconds=10.0)
    counts = Counter({status: count for status, count in statuses.items() if isinstance(status, int)})
    tally = Tally(statuses=counts, took_s=statuses.get("took_s", 10))
    assert _report(tally, options, missing=missing, verified=verified) == 1
    assert words in capsys.readouterr().out
