"""A soak passes only when everything was measured, nothing was lost and nothing grew."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from soak.gauges import Sample, memory_growth
from soak.ledger import Ledger
from soak.report import Soak, judge, picture, text

WAYS, ATTACKS, FAULTS = ("native /project/predict", "TEI /lab/tei/predict"), ("no key",), ("Redis full",)


def samples(
    mib: Callable[[int], float] = lambda _: 200.0, descriptors: Callable[[int], int] = lambda _: 40
) -> list[Sample]:
    return [Sample(at, mib(at), descriptors(at), 180.0, 30, at * 50) for at in range(1, 601)]


def good() -> Soak:
    ledger = Ledger()
    ledger.answered.update(dict.fromkeys(WAYS, 100))
    ledger.texts.update({"l1": 5, "l2": 5, "model": 5})
    ledger.metered.update({"granted": 12_000, "refused": 24_000})
    ledger.metered_due = 11_000.0
    ledger.attacks.update(dict.fromkeys(ATTACKS, 3))
    ledger.faults.update(dict.fromkeys(FAULTS, 2))
    return Soak(600.0, WAYS, ATTACKS, FAULTS, 1, 20.0, (16, 17), ledger, samples(), [(10.0, "Redis full")])


def test_a_soak_in_which_all_went_well_passes() -> None:
    soak = good()
    assert judge(soak) == []
    assert text(soak).startswith("passed after 600 s\n")
    assert "lost: 0, refused: 0, wrong: 0, 500: 0" in text(soak)


@pytest.mark.parametrize("kind", ["lost", "refused", "wrong answer", "500", "a fault without effect", "exit code"])
def test_one_failure_of_any_kind_fails_it_and_is_shown(kind: str) -> None:
    told: list[str] = []
    ledger = Ledger(told.append)
    soak = replace(good(), ledger=ledger)
    for name in ("answered", "texts", "metered", "attacks", "faults"):
        getattr(ledger, name).update(getattr(good().ledger, name))
    ledger.metered_due = good().ledger.metered_due
    ledger.fail(kind, "what happened")
    assert judge(soak) == [f"1 × {kind}"]
    assert told == [f"{kind}: what happened"]
    assert f"  example: {kind}: what happened\n" in text(soak)


@pytest.mark.parametrize(
    ("counter", "key", "says"),
    [
        ("answered", WAYS[1], "no right answer by TEI /lab/tei/predict"),
        ("texts", "l2", "no text was answered from l2"),
        ("attacks", "no key", "never attacked by no key"),
        ("faults", "Redis full", "never injected: Redis full"),
        ("metered", "refused", "no text was beyond its quota"),
        ("metered", "granted", "0 texts within the quota were answered, 11000 to 12000 were due"),
    ],
)
def test_what_was_not_measured_fails_it(counter: str, key: str, says: str) -> None:
    soak = good()
    del getattr(soak.ledger, counter)[key]
    assert judge(soak) == [says]


@pytest.mark.parametrize(("due", "passes"), [(0.0, False), (2_500.0, True), (20_000.0, False)])
def test_a_quota_is_judged_by_how_often_the_machine_let_the_key_ask(due: float, passes: bool) -> None:  # noqa: FBT001  a case, not a switch
    soak = good()
    soak.ledger.metered["granted"] = 2_400
    soak.ledger.metered_due = due
    assert (judge(soak) == []) is passes


def test_a_quota_that_lets_too_much_through_fails_it() -> None:
    soak = good()
    soak.ledger.metered["granted"] = 20_000
    assert judge(soak) == ["20000 texts within the quota were answered, 11000 to 12000 were due"]


@pytest.mark.parametrize(
    ("seen", "says"),
    [
        (samples(mib=lambda at: 200 + at / 10), "memory grew from"),
        (samples(descriptors=lambda at: 40 + at // 10), "descriptors grew from"),
        (samples()[:10], "memory: too few samples to judge"),
    ],
    ids=["memory that grows", "descriptors that grow", "no samples"],
)
def test_growth_fails_it(seen: list[Sample], says: str) -> None:
    assert judge(replace(good(), samples=seen))[0].startswith(says)


def test_descriptors_that_stay_open_without_a_caller_fail_it() -> None:
    assert judge(replace(good(), idle_descriptors=(16, 80))) == [
        "80 descriptors are open without a caller, 16 were at the start"
    ]


def test_what_fills_in_the_first_quarter_is_no_growth() -> None:
    growth = memory_growth(samples(mib=lambda at: 100 + min(at, 150) / 2))
    assert growth is not None
    assert growth.flat


def test_the_picture_shows_memory_and_descriptors_over_time() -> None:
    drawn = picture(replace(good(), events=[(10.0, "a process replaced"), (20.0, "Redis full")]))
    assert drawn.startswith("<svg")
    assert {"Resident memory, MiB", "Open file descriptors"} <= {part.partition("<")[0] for part in drawn.split(">")}
    assert drawn.count('class="m"') == 1
