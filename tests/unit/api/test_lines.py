"""Lines wait where too much is asked for at the moment, and one that fails takes no other with it."""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest

from mlapi.api.asking import Asked
from mlapi.api.lines import Lines, StreamParts
from mlapi.dialects.base import TextLimits
from mlapi.dialects.native import NativeDialect
from mlapi.errors import (
    BatchTooLargeError,
    DeadlineExceededError,
    DrainingError,
    EngineError,
    MlapiError,
    OverloadedError,
    QuotaExceededError,
)
from mlapi.predictions import Answer, Prediction, Source, SourceCounts


class World:
    """A model that fails on some texts, a clock, and what was counted."""

    def __init__(self, failures: dict[str, list[MlapiError]], deadline_s: float = 10.0) -> None:
        self.now = 0.0
        self.failures = failures
        self.asked: list[list[str]] = []
        self.counted = 0
        accounting = SimpleNamespace(
            texts=self._count,
            refusal=lambda _: None,
            answered_lines=SimpleNamespace(value=0),
            refused_lines=SimpleNamespace(value=0),
        )
        ranked = SimpleNamespace(join=lambda predictions: b",".join(b'"%d"' % item.tokens for item in predictions))
        self.lines = Lines(
            StreamParts(
                read=NativeDialect("").reader(b""),
                limits=TextLimits(100, 100),
                combine=lambda _: None,
                model=cast("Any", SimpleNamespace(answering=SimpleNamespace(ranked=ranked))),
                ask=self._ask,
                accounting=cast("Any", accounting),
                request_id="id",
                client="client",
                client_limit=cast("Any", SimpleNamespace(active=False)),
                accounts=None,
                admit=lambda: None,
                deadline_s=deadline_s,
                clock=lambda: self.now,
                sleep=self._sleep,
            )
        )

    def _count(self, predictions: Sequence[Prediction], **_: int) -> None:
        self.counted += len(predictions)

    async def _ask(self, texts: Sequence[str], *, deadline: float) -> Asked:
        assert deadline >= self.now
        self.asked.append([*texts])
        for text in texts:
            if self.failures.get(text):
                raise self.failures[text].pop(0)
        predictions = [Prediction((0.0,), "a", len(text), truncated=False) for text in texts]
        sources = [Source.MODEL] * len(texts)
        return Asked(Answer(predictions, sources, [b""] * len(texts), SourceCounts(model=len(texts))), stored=True)

    async def _sleep(self, seconds: float) -> None:
        self.now += seconds

    async def answer(self, *texts: str) -> tuple[list[object], str | None]:
        lines = [msgspec.json.encode({"text": text}) for text in texts]
        content, end = await self.lines.answer(lines)
        documents = [msgspec.json.decode(item) for item in content]
        read: list[object] = [item.get("predictions") or item["error"]["code"] for item in documents]
        return read, end.code if end else None


def busy(times: int, wait_s: int = 2) -> list[MlapiError]:
    return [OverloadedError("too much", retry_after_s=wait_s) for _ in range(times)]


async def test_an_overload_is_waited_for() -> None:
    world = World({"b": busy(3)})
    assert await world.answer("a", "b") == ([["1"], ["1"]], None)
    assert (world.now, world.counted) == (6, 2)


async def test_an_overload_that_lasts_is_told_when_the_lines_time_is_over() -> None:
    world = World({"b": busy(100)})
    assert await world.answer("a", "b") == (["overloaded", "overloaded"], None)
    assert (world.now, world.counted) == (8, 0)


@pytest.mark.parametrize("kind", [EngineError, BatchTooLargeError])
async def test_a_line_that_fails_takes_no_other_with_it(kind: type[MlapiError]) -> None:
    texts = [f"{number:04d}" for number in range(64)]
    world = World({"0037": [kind("it fails") for _ in range(100)]})
    answers, end = await world.answer(*texts)
    assert end is None
    assert [index for index, answer in enumerate(answers) if answer == kind.code] == [37]
    assert (world.counted, len(world.asked)) == (63, 13)


async def test_what_every_line_would_meet_ends_the_stream_behind_what_is_answered() -> None:
    world = World({"c": [EngineError("it fails"), DrainingError("stopping")]})
    assert await world.answer("a", "b", "c", "d") == ([["1"], ["1"]], "draining")
    spent = World({"a": [QuotaExceededError("no more today", retry_after_s=9_000)]})
    assert await spent.answer("a", "b") == ([], "quota_exceeded")
    assert spent.now == 0
    soon = World({"a": [QuotaExceededError("too fast", retry_after_s=1)]})
    assert await soon.answer("a", "b") == ([["1"], ["1"]], None)


async def test_lines_that_cannot_be_done_in_time_are_told_so() -> None:
    world = World({"a": [DeadlineExceededError("late")]})
    assert await world.answer("a", "b") == (["deadline_exceeded", "deadline_exceeded"], None)


async def test_what_nobody_thought_of_is_an_internal_error() -> None:
    world = World({"a": [cast("MlapiError", ZeroDivisionError())]})
    assert await world.answer("a") == (["internal_error"], None)
