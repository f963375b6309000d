"""The one use case: texts in, predictions out, through cache tiers, single flight and the batcher."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import repeat
from typing import TypeAlias

from mlapi.batching.admission import Admission
from mlapi.batching.batcher import Batcher, Scored
from mlapi.cache.keys import KeyMaker
from mlapi.cache.singleflight import Flight, SingleFlight
from mlapi.cache.tiered import TieredStore
from mlapi.errors import (
    EMPTY,
    DeadlineExceededError,
    InternalError,
    InvalidRequestError,
    MlapiError,
    NotCachedError,
    TextFault,
)
from mlapi.observability.drift import Distributions
from mlapi.postprocessing import Postprocessor
from mlapi.predictions import Answer, EncodedText, Found, Prediction, Query, Source, SourceCounts
from mlapi.tokenizing.base import Tokenizer
from mlapi.tokenizing.tokenizer_executor import parts


@dataclass(frozen=True, slots=True)
class Policy:
    """How one request wants to be served.

    Attributes:
        deadline: when the answer must be complete, in seconds of the predictor's clock.
        store: whether the answers may be kept (`no-store` says no).
        compute: whether the model may be asked (`only-if-cached` says no).
        counted: whether what the model says counts among the texts that drift is measured by.
    """

    deadline: float
    store: bool = True
    compute: bool = True
    counted: bool = True


@dataclass(frozen=True, slots=True)
class Outcome:
    """The answer to one text, the seconds it waited for and spent in the model, and whether a tier keeps it."""

    prediction: Prediction
    source: Source
    queue_s: float = 0.0
    model_s: float = 0.0
    kept: bool = False


@dataclass(frozen=True, slots=True)
class _Led:
    """A text whose flight this request has to end."""

    flight: Flight[Outcome]
    text: str


_Computed: TypeAlias = tuple[Flight[Outcome], EncodedText, asyncio.Future[Scored]]


class Predictor:
    """Answers texts. Lives on one event loop.

    Attributes:
        ascii_fold: the tokenizer's.
        digest_forms: digests texts whose canonical forms are known.
        known: returns what L1 holds if it holds every text; else None, and nothing is counted.
    """

    def __init__(
        self,
        *,
        tokenizer: Tokenizer,
        tokenize: Callable[[Sequence[str]], Awaitable[list[EncodedText]]],
        keys: KeyMaker,
        store: TieredStore,
        admission: Admission,
        batcher: Batcher,
        postprocessor: Postprocessor,
        computed: Distributions,
        clock: Callable[[], float],
    ) -> None:
        """Take the parts.

        Args:
            tokenizer: makes canonical forms, on the event loop.
            tokenize: encodes texts in threads.
            keys: makes digests.
            store: both tiers of the cache.
            admission: refuses what cannot be answered in time.
            batcher: runs the model.
            postprocessor: makes predictions of the model's scores.
            computed: counts each text that the model computed, for drift.
            clock: seconds of the clock that deadlines are given in.
        """
        self.ascii_fold = tokenizer.ascii_fold
        self._canonical_forms = tokenizer.canonical_forms
        self._tokenize = tokenize
        self.digest_forms = keys.digest_many
        self._store = store
        self.known = store.known
        self._admission = admission
        self._batcher = batcher
        self._postprocessor = postprocessor
        self._computed = computed
        self._clock = clock
        self._flights: SingleFlight[Outcome] = SingleFlight()
        self._tasks: set[asyncio.Task[None]] = set()

    def query(self, texts: Sequence[str]) -> Query:
        """Bring texts into canonical form and digest them.

        Raises:
            InvalidRequestError: texts with nothing in them to read; names them all.
        """
        forms = self._canonical_forms(texts)
        if not all(forms):
            empty = [index for index, form in enumerate(forms) if not form]
            msg = "a text must hold at least one character that the model can read"
            raise InvalidRequestError(msg, faults=[TextFault(index, EMPTY) for index in empty])
        return Query(texts, self.digest_forms(forms))

    def canonical_form(self, text: str) -> bytes:
        """Return the canonical form of a text, empty if there is nothing in it to read."""
        return self._canonical_forms([text])[0]

    def look_up(self, digests: Sequence[bytes], deliver: Callable[[Found], None], *, keep: bool = True) -> bool:
        """Look up in both tiers without a task, and call back with what they hold: soon, never synchronously.

        Texts that are being computed are left out: `complete` joins whoever computes them.

        Args:
            digests: the texts.
            deliver: told what was found.
            keep: whether what L2 holds may move up into L1.

        Returns:
            Whether that will happen; if not, L2 is not to be asked, and nothing was counted.
        """
        return self._store.look_up(digests, deliver, keep=keep, in_flight=self._flights.under_way(digests))

    async def find(self, digests: Sequence[bytes], *, keep: bool) -> Found:
        """Look up in both tiers, for a coroutine; L1 alone where L2 is not to be asked."""
        found: asyncio.Future[Found] = asyncio.get_running_loop().create_future()

        def deliver(result: Found) -> None:
            if not found.done():
                found.set_result(result)

        if not self.look_up(digests, deliver, keep=keep):
            return self._store.held(digests)
        return await found

    async def complete(self, query: Query, found: Found, policy: Policy) -> Answer:
        """Answer every text, computing what was not found; each once, however often it is asked for at the same time.

        Args:
            query: the texts.
            found: what `find` or `look_up` said; nothing, to ask the model whatever the cache holds.
            policy: how the request wants to be served.

        Raises:
            NotCachedError: `policy.compute` is off and a text was not found.
            DeadlineExceededError: the answer was not complete in time.
            OverloadedError: the model has more to do than it can finish in time.
            BatchTooLargeError: the request can never be served as one.
            DrainingError: the process is stopping.
            EngineError: the model failed.
        """
        outcomes: dict[bytes, Outcome] = {}
        missing: dict[bytes, str] = {}
        for text, digest, own, other in zip(query.texts, query.digests, found.l1, found.l2 or repeat(None)):  # noqa: B905
            if own is not None:
                outcomes[digest] = Outcome(own, Source.L1)
            elif other is not None:
                outcomes[digest] = Outcome(other, Source.L2)
            elif found.l2 is not None and (late := self._store.known((digest,))):
                # Computed for someone else while L2 was asked.
                outcomes[digest] = Outcome(late[0], Source.L1)
            else:
                missing.setdefault(digest, text)
        if missing and not policy.compute:
            msg = f"{len(missing)} of the request's texts are not in the cache"
            raise NotCachedError(msg)
        if missing:
            outcomes |= await self._resolve(missing, policy)
        return _assemble(query, outcomes)

    async def close(self) -> None:
        """Wait for the work in progress to end."""
        if self._tasks:
            await asyncio.wait(set(self._tasks))

    async def _resolve(self, missing: Mapping[bytes, str], policy: Policy) -> dict[bytes, Outcome]:
        """Join or start one flight a text, and wait for them all."""
        digests = list(missing)
        with self._flights.claim(digests, store=policy.store) as claim:
            if claim.led:
                led = [_Led(flight, missing[flight.key]) for flight in claim.led]
                task = asyncio.create_task(self._lead(led, policy))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
            try:
                outcomes = await claim.results(max(0.0, policy.deadline - self._clock()))
            except TimeoutError:
                msg = "the answer was not complete in time"
                raise DeadlineExceededError(msg) from None
            return {
                digest: outcome if leads else _followed(outcome)
                for digest, outcome, leads in zip(digests, outcomes, claim.leads, strict=True)
            }

    async def _lead(self, led: Sequence[_Led], policy: Policy) -> None:
        """Bring flights to their end, whatever becomes of the request that started them."""
        try:
            await self._compute(led, policy)
        except MlapiError as error:
            _crash(led, error)
        except Exception as error:  # noqa: BLE001  those who wait must hear of it; the edge logs the cause
            failure = InternalError("the prediction failed")
            failure.__cause__ = error
            _crash(led, failure)

    async def _compute(self, led: Sequence[_Led], policy: Policy) -> None:
        """Ask the model, and land each text as soon as its batch is done."""
        self._admission.check_open(len(led))
        encoded: list[EncodedText] = []
        texts = [item.text for item in led]
        for part in parts(texts):
            if all(item.flight.future.done() for item in led):
                return  # nobody waits any more: what is left is not worth reading
            encoded += await self._tokenize(texts[part])
        live = [(item.flight, text) for item, text in zip(led, encoded, strict=True) if not item.flight.future.done()]
        finished: asyncio.Queue[_Computed] = asyncio.Queue()
        scores = self._batcher.submit([text for _, text in live], deadline=policy.deadline)
        for (flight, text), score in zip(live, scores, strict=True):
            # Nobody waits any more: the batcher drops the text, if it has not reached the model yet.
            flight.future.add_done_callback(partial(_withdraw, score))
            score.add_done_callback(partial(_report, finished, flight, text))
        awaited = len(live)
        while awaited:
            batch = [await finished.get()]
            while not finished.empty():
                batch.append(finished.get_nowait())
            awaited -= len(batch)
            await self._land_computed(batch, counted=policy.counted)

    async def _land_computed(self, batch: Sequence[_Computed], *, counted: bool) -> None:
        """Store first, land then: a text is at no moment neither in flight nor in the cache."""
        computed: list[tuple[Flight[Outcome], Prediction, Scored]] = []
        for flight, text, score in batch:
            if score.cancelled():
                continue
            if (error := score.exception()) is not None:
                flight.crash(error if isinstance(error, Exception) else InternalError("the prediction failed"))
                continue
            scored = score.result()
            prediction, best = self._postprocessor.scored(scored.scores, tokens=len(text.ids), truncated=text.truncated)
            if counted:
                self._computed.observe(prediction.label, best, prediction.tokens, text.unknown)
            computed.append((flight, prediction, scored))
        wanted = {flight.key: prediction for flight, prediction, _ in computed if flight.store}
        kept = wanted.keys() - await self._store.put_many(wanted)
        for flight, prediction, scored in computed:
            flight.land(Outcome(prediction, Source.MODEL, scored.queue_s, scored.model_s, kept=flight.key in kept))


def _withdraw(score: asyncio.Future[Scored], _: asyncio.Future[Outcome]) -> None:
    score.cancel()


def _report(
    finished: asyncio.Queue[_Computed], flight: Flight[Outcome], text: EncodedText, score: asyncio.Future[Scored]
) -> None:
    finished.put_nowait((flight, text, score))


def _followed(outcome: Outcome) -> Outcome:
    """Say of an outcome that another request had it computed."""
    return Outcome(outcome.prediction, Source.COLLAPSED, outcome.queue_s, outcome.model_s)


def _assemble(query: Query, outcomes: Mapping[bytes, Outcome]) -> Answer:
    """Lay outcomes out in the order of the texts; repetitions of a computed text count as collapsed."""
    predictions, sources = [], []
    computed: set[bytes] = set()
    for digest in query.digests:
        outcome = outcomes[digest]
        predictions.append(outcome.prediction)
        sources.append(Source.COLLAPSED if digest in computed else outcome.source)
        if outcome.source is Source.MODEL:
            computed.add(digest)
    return Answer(
        predictions,
        sources,
        query.digests,
        SourceCounts.of(sources),
        max(outcome.queue_s for outcome in outcomes.values()),
        max(outcome.model_s for outcome in outcomes.values()),
        stored=bool(computed) and all(outcomes[digest].kept for digest in computed),
    )


def _crash(led: Sequence[_Led], error: Exception) -> None:
    for item in led:
        item.flight.crash(error)
