"""Asking politely: rate, time, and what is done about refusals."""

from collections.abc import Sequence

import pytest

from mlapi.rollout.pace import BATCH, Pace, gather
from mlapi.rollout.version import Answered, RefusedError, VersionError

TOO_LONG = RefusedError("too long", 422, None)


class Clock:
    """Time that passes only where somebody sleeps or answers."""

    def __init__(self) -> None:
        self.now = 0.0
        self.said: list[str] = []

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def pace(self, rate: float = 320.0, seconds: float = 60.0) -> Pace:
        return Pace(rate, seconds, lambda: self.now, self.sleep, self.said.append)


class Service:
    """Answers, slowly if told to; refuses what it is told to."""

    def __init__(self, clock: Clock, takes_s: float = 0.0, refusals: Sequence[RefusedError] = ()) -> None:
        self.asked: list[tuple[float, int]] = []
        self.bad: frozenset[str] = frozenset()
        self._clock = clock
        self._takes_s = takes_s
        self._refusals = list(refusals)

    def predict(self, texts: Sequence[str]) -> Answered:
        self.asked.append((self._clock.now, len(texts)))
        self._clock.now += self._takes_s
        if self._refusals:
            raise self._refusals.pop(0)
        if self.bad & set(texts):
            raise TOO_LONG
        return Answered([{"GOOD": 1.0}] * len(texts), {"model": len(texts)})


TEXTS = [f"text {index}" for index in range(10 * BATCH)]


def test_no_more_texts_are_asked_for_than_the_rate_allows() -> None:
    clock = Clock()
    service = Service(clock)
    gathered = gather(service, TEXTS, clock.pace(rate=BATCH), "warming")
    assert [at for at, _ in service.asked] == pytest.approx(range(10))
    assert (len(gathered.scores), gathered.left, gathered.sources) == (len(TEXTS), 0, {"model": len(TEXTS)})
    assert clock.said == ["warming: 192 of 320 texts, 55 s left"]


def test_a_slow_version_is_not_pressed() -> None:
    clock = Clock()
    service = Service(clock, takes_s=3.0)
    gather(service, TEXTS, clock.pace(rate=BATCH), "warming")
    assert [at for at, _ in service.asked] == pytest.approx(range(0, 30, 3))


def test_it_ends_when_the_time_is_over() -> None:
    clock = Clock()
    gathered = gather(Service(clock), TEXTS, clock.pace(rate=BATCH, seconds=3.5), "warming")
    assert clock.now == pytest.approx(3.5)
    assert (len(gathered.scores), gathered.left) == (4 * BATCH, 6 * BATCH)


def test_an_overloaded_version_is_given_time_and_half_the_pace() -> None:
    clock = Clock()
    service = Service(clock, refusals=[RefusedError("overloaded", 503, 7.0)])
    gathered = gather(service, TEXTS[: 3 * BATCH], clock.pace(rate=BATCH), "warming")
    assert [at for at, _ in service.asked] == pytest.approx([0, 7, 9, 11])
    assert (len(gathered.scores), gathered.waits) == (3 * BATCH, 1)


def test_a_version_that_is_overloaded_for_ever_is_left_alone_in_time() -> None:
    clock = Clock()
    service = Service(clock, refusals=[RefusedError("overloaded", 503, 3600.0)] * 1_000)
    gathered = gather(service, TEXTS, clock.pace(seconds=60), "warming")
    assert clock.now == pytest.approx(60)
    assert (len(service.asked), len(gathered.scores), gathered.left) == (2, 0, len(TEXTS))


def test_one_text_that_is_refused_costs_the_others_nothing() -> None:
    clock = Clock()
    service = Service(clock)
    service.bad = frozenset({"text 7"})
    gathered = gather(service, TEXTS, clock.pace(), "warming")
    assert gathered.refused == ["text 7"]
    assert set(gathered.scores) == set(TEXTS) - {"text 7"}


@pytest.mark.parametrize("status", [401, 403, 404])
def test_what_every_request_would_meet_ends_it(status: int) -> None:
    clock = Clock()
    with pytest.raises(VersionError, match="no"):
        gather(Service(clock, refusals=[RefusedError("no", status, None)]), TEXTS, clock.pace(), "warming")
