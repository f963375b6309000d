"""Answers the lines of a stream, some at a time: each as `predict` answers it as a body."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeAlias

from mlapi.access.accounts import Accounts
from mlapi.access.keyring import Grant
from mlapi.api.accounting import Accounting
from mlapi.api.asking import Asked
from mlapi.api.charging import charged
from mlapi.api.client_limit import ClientLimit
from mlapi.api.long_texts import combine, cut
from mlapi.api.served_model import LoadedModel
from mlapi.api.truncation import refuse_truncated
from mlapi.dialects.base import Call, Combine, ReadBody, TextLimits
from mlapi.dialects.problems import line_problem
from mlapi.errors import (
    BatchTooLargeError,
    DrainingError,
    EngineError,
    ForbiddenError,
    InternalError,
    InvalidRequestError,
    MlapiError,
    NotCachedError,
    OverloadedError,
    QuotaExceededError,
    RateLimitedError,
    UnauthorizedError,
    Violation,
)
from mlapi.predictions import Answer, SourceCounts

_log = logging.getLogger(__name__)

Line: TypeAlias = bytes | MlapiError
"""A line as it came, or what is wrong with it if it did not come whole."""

_OF_ONE_LINE: Final = (BatchTooLargeError, EngineError, InvalidRequestError, NotCachedError)
"""What one line of several may be the reason of: the others are answered without it."""

_OF_TOO_MANY: Final = (OverloadedError, QuotaExceededError, RateLimitedError)
"""What is over after a while, for which a stream can wait: it reads nothing meanwhile."""

_OF_THE_STREAM: Final = (DrainingError, ForbiddenError, QuotaExceededError, RateLimitedError, UnauthorizedError)
"""What every further line would meet, too."""


_NO_COUNTS: Final = SourceCounts()
"""Of a part of an answer: nobody looks at them."""


@dataclass(frozen=True, slots=True)
class StreamParts:
    """What the lines of one stream are answered with.

    Attributes:
        read: reads a line.
        limits: what a line may hold.
        combine: says how long texts are answered by their windows, for the lines of one stream the same; None: not.
        model: answers.
        ask: answers texts by a time, or not at all.
        accounting: counts texts.
        request_id: of the stream.
        client: whom its texts count for, where each client has a limit.
        client_limit: that limit.
        accounts: what API keys have spent; None: there are none.
        admit: lets it in by its API key, which is looked at again for each batch.
        deadline_s: how long a line may take, waiting included.
        clock: tells seconds.
        sleep: waits so many seconds.
    """

    read: ReadBody
    limits: TextLimits
    combine: Callable[[Call], Combine | None]
    model: LoadedModel
    ask: Callable[..., Coroutine[None, None, Asked]]
    accounting: Accounting
    request_id: str
    client: str
    client_limit: ClientLimit
    accounts: Accounts | None
    admit: Callable[[], Grant | None]
    deadline_s: float
    clock: Callable[[], float]
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep


class Answered(NamedTuple):
    """The answers to some lines, in their order; `end` says why those that are missing, and all later ones, have none.

    That is answered in the place of the first of them.
    """

    lines: Sequence[bytes]
    end: MlapiError | None = None


class Lines:
    """The lines of one stream."""

    def __init__(self, parts: StreamParts) -> None:
        self._parts = parts

    async def answer(self, lines: Sequence[Line]) -> Answered:
        """Answer some lines; those that cannot be are told why, each in its place."""
        calls = [self._read(line) for line in lines]
        good = [call for call in calls if not isinstance(call, MlapiError)]
        until = self._parts.clock() + self._parts.deadline_s
        end: MlapiError | None = None
        written: list[bytes | MlapiError] = []
        if good:
            written, end = await self._answer(good, until)
        results = iter(written)
        content: list[bytes] = []
        for call in calls:
            if isinstance(call, MlapiError):
                content.append(self.problem(call))
                continue
            result = next(results, None)
            if result is None:
                break
            if isinstance(result, MlapiError):
                if result.faults:
                    faults = [Violation(call.pointer(fault.index), fault.detail) for fault in result.faults]
                    result.violations = tuple(faults)
                content.append(self.problem(result))
            else:
                self._parts.accounting.answered_lines.value += 1
                content.append(result)
        return Answered(content, end)

    def problem(self, error: MlapiError) -> bytes:
        """Return what stands in the place of a line that is not answered."""
        if isinstance(error, InternalError):
            _log.error("a line of a stream failed", exc_info=error, extra={"request_id": self._parts.request_id})
        self._parts.accounting.refusal(error)
        self._parts.accounting.refused_lines.value += 1
        return line_problem(error, self._parts.request_id)

    def _read(self, line: Line) -> Call | MlapiError:
        if isinstance(line, MlapiError):
            return line
        try:
            return self._parts.read(line, self._parts.limits)
        except MlapiError as error:
            return error

    async def _answer(self, calls: Sequence[Call], until: float) -> tuple[list[bytes | MlapiError], MlapiError | None]:
        """Answer calls together; where that fails for one of them, by halves.

        Returns:
            An answer or an error for each, in their order, and why there is none for the last ones.
        """
        try:
            return await self._attempt(calls, until), None
        except MlapiError as error:
            if isinstance(error, _OF_THE_STREAM):
                return [], error
            if len(calls) == 1 or not isinstance(error, _OF_ONE_LINE):
                return [error] * len(calls), None
        except Exception as error:  # noqa: BLE001  whatever breaks, the caller gets a problem document
            failure = InternalError("the service failed; the request id finds the reason in its log")
            failure.__cause__ = error
            return [failure] * len(calls), None
        middle = len(calls) // 2
        first, end = await self._answer(calls[:middle], until)
        if end is not None:
            return first, end
        second, end = await self._answer(calls[middle:], until)
        return first + second, end

    async def _attempt(self, calls: Sequence[Call], until: float) -> list[bytes | MlapiError]:
        """Answer calls together, waiting for as long as their time allows where too much is asked for at the moment.

        Raises:
            MlapiError: they cannot be answered together.
        """
        parts = self._parts
        texts: Sequence[str] = [text for call in calls for text in call.texts]
        how = parts.combine(calls[0])
        cut_texts = await cut(parts.model, texts) if how else None
        if cut_texts:
            texts = cut_texts.windows
        while True:
            grant = parts.admit()
            try:
                if parts.client_limit.active:
                    parts.client_limit.check(parts.client, len(texts))
                answering = parts.ask(texts, deadline=until)
                asked = await (
                    charged(parts.accounts, grant, len(texts), answering) if parts.accounts and grant else answering
                )
                break
            except _OF_TOO_MANY as error:
                wait_s = error.retry_after_s or 1
                if parts.clock() + wait_s >= until:
                    raise
                await parts.sleep(wait_s)
        answer = asked.answer
        if how and cut_texts:
            answer = combine(answer, cut_texts, how, parts.model.answering.ranked)
        answers = _divide(answer, calls)
        results = [self._write(call, answer) for call, answer in zip(calls, answers, strict=True)]
        self._count(answer, answers, results, grant)
        return results

    def _count(
        self,
        answer: Answer,
        answers: Sequence[Answer],
        results: Sequence[bytes | MlapiError],
        grant: Grant | None,
    ) -> None:
        """Count the texts that are answered; those of a line that is refused when it is written cost nothing."""
        parts = self._parts
        refused = [item for item, result in zip(answers, results, strict=True) if not isinstance(result, bytes)]
        predictions, counts = answer.predictions, answer.counts
        if refused:
            predictions = [
                prediction
                for item, result in zip(answers, results, strict=True)
                if isinstance(result, bytes)
                for prediction in item.predictions
            ]
            for item in refused:
                own = SourceCounts.of(item.sources)
                counts = SourceCounts(*(total - part for total, part in zip(counts, own, strict=True)))
                if grant and parts.accounts:
                    parts.accounts.take_back(grant, sum(own), own.l1 + own.l2)
        parts.accounting.texts(predictions, **counts._asdict())

    def _write(self, call: Call, answer: Answer) -> bytes | MlapiError:
        try:
            if not call.truncate:
                refuse_truncated(answer.predictions)
            content = call.write(answer, self._parts.model.answering)
        except MlapiError as error:
            return error
        return content if isinstance(content, bytes) else content.body


def _divide(answer: Answer, calls: Sequence[Call]) -> Sequence[Answer]:
    """Return the part of an answer that is each call's."""
    parts: list[Answer] = []
    start = 0
    for call in calls:
        end = start + len(call.texts)
        parts.append(
            Answer(
                answer.predictions[start:end],
                answer.sources[start:end],
                answer.digests[start:end],
                _NO_COUNTS,
                windows=answer.windows[start:end],
            )
        )
        start = end
    return parts
