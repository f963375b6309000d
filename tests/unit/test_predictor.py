"""Each unknown text reaches the model once, and every text gets its own answer, whoever else asks or leaves."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence

import pytest

from mlapi.batching.admission import Admission
from mlapi.batching.batcher import Batcher
from mlapi.cache.keys import KeyMaker
from mlapi.cache.l1 import MemoryStore
from mlapi.cache.tiered import TieredStore
from mlapi.dialects.ranked import RankedLabels
from mlapi.errors import (
    DeadlineExceededError,
    DrainingError,
    EngineError,
    InternalError,
    InvalidRequestError,
    NotCachedError,
    OverloadedError,
)
from mlapi.observability.metrics import Metrics, ModelMetrics
from mlapi.postprocessing import Postprocessor
from mlapi.predictions import Answer, EncodedText, Found, Prediction, Source, SourceCounts
from mlapi.predictor import Policy, Predictor

DIGEST = "0" * 32
POSTPROCESSOR = Postprocessor(["NEGATIVE", "POSITIVE"], "softmax")
RANKED = RankedLabels(POSTPROCESSOR)


class WordTokenizer:
    """One token for each character; lower case is canonical."""

    ascii_fold = None

    def normalise(self, text: str) -> str:
        return text.strip().lower()

    def canonical_forms(self, texts: Sequence[str]) -> list[bytes]:
        return [self.normalise(text).encode() for text in texts]

    def encode(self, texts: Sequence[str]) -> list[EncodedText]:
        return [EncodedText(tuple(map(ord, self.normalise(text))), truncated=len(text) > 30) for text in texts]


class SharedStore:
    """Stands for the second tier."""

    def __init__(self) -> None:
        self.entries: dict[bytes, Prediction] = {}
        self.room = 1000

    def may_ask(self) -> bool:
        return True

    def skip(self, texts: int) -> None:
        """Nothing is counted."""

    def request(self, digests: Sequence[bytes], deliver: Callable[[list[Prediction | None]], None]) -> None:
        asyncio.get_running_loop().call_soon(deliver, [self.entries.get(digest) for digest in digests])

    async def put_many(self, predictions: Mapping[bytes, Prediction]) -> set[bytes]:
        taken = dict(list(predictions.items())[: self.room - len(self.entries)])
        self.entries |= taken
        return predictions.keys() - taken.keys()

    async def close(self) -> None:
        """Nothing is held."""


class House:
    """A predictor with a model that answers when it is told to."""

    def __init__(self, *, waiting_tokens: int = 10_000, l1_bytes: int = 100_000) -> None:
        self.now = 0.0
        self.metrics = Metrics()
        self.open = asyncio.Event()
        self.open.set()
        self.entered = asyncio.Event()
        self.reading = asyncio.Event()
        self.tokenizing = asyncio.Event()
        self.tokenizing.set()
        self.texts_read = 0
        self.computed: list[str] = []
        self.failure: Exception | None = None
        self.shared = SharedStore()
        self.memory = MemoryStore(
            max_bytes=l1_bytes, ttl_s=60, clock=self.clock, jitter=lambda: 0.5, metrics=self.metrics
        )
        tokenizer = WordTokenizer()

        async def tokenize(texts: Sequence[str]) -> list[EncodedText]:
            self.texts_read += len(texts)
            self.reading.set()
            await self.tokenizing.wait()
            return tokenizer.encode(texts)

        of_model = ModelMetrics(self.metrics, "project")
        admission = Admission(max_waiting_tokens=waiting_tokens, rate=1e6, clock=self.clock, metrics=of_model)
        self.batcher = Batcher(
            self.run,
            admission=admission,
            bucket=lambda _: 32,
            max_batch_tokens=32,
            streams=1,
            clock=self.clock,
            metrics=of_model,
        )
        self.predictor = Predictor(
            tokenizer=tokenizer,
            tokenize=tokenize,
            keys=KeyMaker(DIGEST),
            store=TieredStore(self.memory, self.shared),
            admission=admission,
            batcher=self.batcher,
            postprocessor=POSTPROCESSOR,
            computed=of_model.computed,
            clock=self.clock,
        )

    def clock(self) -> float:
        return self.now

    async def leave(self) -> None:
        self.open.set()
        await self.batcher.close(1.0)
        await self.predictor.close()

    async def run(self, texts: Sequence[EncodedText], padded: int) -> list[tuple[float, ...]]:
        del padded
        self.entered.set()
        await self.open.wait()
        if self.failure:
            raise self.failure
        self.computed += ["".join(map(chr, text.ids)) for text in texts]
        return [score(text.ids) for text in texts]

    async def ask(self, *texts: str, deadline: float = 5.0, **wishes: bool) -> Answer:
        query = self.predictor.query(texts)
        policy = Policy(deadline, **wishes)
        if known := self.predictor.known(query.digests):
            return Answer(known, [Source.L1] * len(known), query.digests, SourceCounts(l1=len(known)))
        found = await self.predictor.find(query.digests, keep=policy.store)
        return await self.predictor.complete(query, found, policy)


def score(ids: Sequence[int]) -> tuple[float, float]:
    share = sum(ids) % 128 / 128
    return (1 - share, share)


def rendered(prediction: Prediction) -> bytes:
    return RANKED.all(prediction)


def expected(text: str) -> bytes:
    ids = tuple(map(ord, text.strip().lower()))
    return rendered(POSTPROCESSOR.prediction(score(ids), tokens=len(ids), truncated=False))


@pytest.fixture
async def house() -> AsyncIterator[House]:
    house = House()
    yield house
    await house.leave()


@pytest.fixture
async def small_house() -> AsyncIterator[House]:
    """Two texts may wait."""
    house = House(waiting_tokens=64)
    yield house
    await house.leave()


async def test_each_text_gets_its_own_answer_and_its_source(house: House) -> None:
    await house.ask("known")
    answer = await house.ask("known", "new", "NEW ", "other", "known")
    assert [rendered(prediction) for prediction in answer.predictions] == [
        expected(text) for text in ("known", "new", "new", "other", "known")
    ]
    assert answer.sources == [Source.L1, Source.MODEL, Source.COLLAPSED, Source.MODEL, Source.L1]
    assert sorted(house.computed) == ["known", "new", "other"]


async def test_a_hit_of_either_tier_is_the_bytes_of_the_miss_that_made_it(house: House) -> None:
    miss = await house.ask("text")
    hit = await house.ask("text")
    assert rendered(hit.predictions[0]) == rendered(miss.predictions[0]) == expected("text")
    assert rendered(house.shared.entries[hit.digests[0]]) == expected("text")


async def test_what_the_shared_tier_holds_is_not_computed_and_moves_up(house: House) -> None:
    digest = KeyMaker(DIGEST).digest(b"text")
    house.shared.entries[digest] = POSTPROCESSOR.prediction((0.5, 0.5), tokens=4, truncated=False)
    answer = await house.ask("text", "text")
    assert answer.sources == [Source.L2, Source.L2]
    assert house.computed == []
    assert (await house.ask("text")).sources == [Source.L1]


async def test_what_was_found_before_is_neither_asked_for_nor_computed_again(house: House) -> None:
    query = house.predictor.query(["in l1", "in l2", "in neither", "in l2"])
    await house.ask("in l1")
    house.shared.entries[query.digests[1]] = POSTPROCESSOR.prediction((0.5, 0.5), tokens=4, truncated=False)
    found: list[Found] = []
    assert house.predictor.look_up(query.digests, found.append)
    await _turn()
    house.shared.entries.clear()
    answer = await house.predictor.complete(query, found[0], Policy(5.0))
    assert answer.sources == [Source.L1, Source.L2, Source.MODEL, Source.L2]
    assert house.computed == ["in l1", "in neither"]


async def test_what_was_computed_while_the_shared_tier_was_asked_is_not_computed_again(house: House) -> None:
    query = house.predictor.query(["text"])
    found: list[Found] = []
    assert house.predictor.look_up(query.digests, found.append)
    await house.ask("text")
    answer = await house.predictor.complete(query, found[0], Policy(5.0))
    assert answer.sources == [Source.L1]
    assert house.computed == ["text"]


async def test_what_is_being_computed_is_waited_for_instead_of_asked_for(house: House) -> None:
    house.open.clear()
    first = asyncio.create_task(house.ask("text"))
    await house.entered.wait()
    found: list[Found] = []
    assert not house.predictor.look_up(house.predictor.query(["text"]).digests, found.append)
    house.open.set()
    await first
    assert found == []


async def test_two_hundred_callers_of_fifty_texts_cost_fifty_texts(house: House) -> None:
    house.open.clear()
    texts = [f"text {number}" for number in range(50)]
    callers = [asyncio.create_task(house.ask(*texts)) for _ in range(200)]
    await house.entered.wait()
    house.open.set()
    answers = await asyncio.gather(*callers)
    assert sorted(house.computed) == sorted(texts)
    fragments = [expected(text) for text in texts]
    assert all([rendered(item) for item in answer.predictions] == fragments for answer in answers)
    sources = [source for answer in answers for source in answer.sources]
    assert (sources.count(Source.MODEL), sources.count(Source.COLLAPSED)) == (50, 199 * 50)


async def test_what_is_computed_counts_once_where_drift_is_measured_and_what_is_nobodys_text_does_not(
    house: House,
) -> None:
    def counted() -> dict[str, float]:
        series = house.metrics.computed_texts.labels.series
        return {f"{feature} {name}": count.value for (_, feature, name), count in series.items() if count.value}

    await asyncio.gather(house.ask("text"), house.ask("text"), house.ask("text", "TEXT"))
    await house.ask("text")
    best = max(POSTPROCESSOR.scores(score(tuple(map(ord, "text")))))
    assert 0.5 < best < 0.6
    once = {f"label {(await house.ask('text')).predictions[0].label}": 1, "score 0.6": 1, "tokens 4.0": 1}
    assert counted() == once
    await house.ask("a text with a word left out", counted=False)
    assert len(house.computed) == 2
    assert counted() == once


async def test_a_caller_that_leaves_does_not_take_the_answer_of_others_along(house: House) -> None:
    house.open.clear()
    first = asyncio.create_task(house.ask("shared"))
    await house.entered.wait()
    second = asyncio.create_task(house.ask("shared"))
    await _turn()
    first.cancel()
    await _turn()
    house.open.set()
    answer = await second
    assert rendered(answer.predictions[0]) == expected("shared")
    assert answer.sources == [Source.COLLAPSED]
    assert house.computed == ["shared"]


async def test_work_that_nobody_waits_for_any_more_never_reaches_the_model(house: House) -> None:
    house.open.clear()
    busy = asyncio.create_task(house.ask("busy"))
    await house.entered.wait()
    left = asyncio.create_task(house.ask("left"))
    while not house.predictor._admission.waiting_tokens:
        await _turn()
    left.cancel()
    await asyncio.wait([left])
    house.open.set()
    await busy
    await house.predictor.close()
    assert house.computed == ["busy"]


async def test_texts_of_a_caller_that_left_are_not_even_read(house: House) -> None:
    texts = [f"{number} " + "x" * 40_000 for number in range(10)]
    house.tokenizing.clear()
    left = asyncio.create_task(house.ask(*texts))
    await house.reading.wait()
    left.cancel()
    await asyncio.wait([left])
    house.tokenizing.set()
    await house.predictor.close()
    assert 0 < house.texts_read < len(texts)
    assert house.computed == []


async def test_no_store_is_kept_out_of_both_tiers_unless_somebody_else_wants_it_stored(house: House) -> None:
    await house.ask("private", store=False)
    assert house.shared.entries == {}
    assert (await house.ask("private", store=False)).sources == [Source.MODEL]
    house.open.clear()
    house.entered.clear()
    unstored = asyncio.create_task(house.ask("both", store=False))
    await house.entered.wait()
    stored = asyncio.create_task(house.ask("both"))
    await _turn()
    house.open.set()
    await asyncio.gather(unstored, stored)
    assert len(house.shared.entries) == 1
    assert (await house.ask("both")).sources == [Source.L1]


@pytest.mark.parametrize(
    ("l1_bytes", "room", "stored"),
    [(100_000, 1000, True), (100_000, 0, True), (0, 1000, True), (0, 1, False), (0, 0, False)],
    ids=["both tiers", "L1 alone", "L2 alone", "L2, one of two", "neither"],
)
async def test_an_answer_is_stored_if_a_tier_keeps_all_that_the_model_said(
    l1_bytes: int,
    room: int,
    stored: bool,  # noqa: FBT001  a case's expectation
) -> None:
    house = House(l1_bytes=l1_bytes)
    house.shared.room = room
    assert (await house.ask("one", "two", "one")).stored is stored
    assert not (await house.ask("one", store=False)).stored
    await house.leave()


async def test_what_was_stored_before_is_not_stored_by_the_answer(house: House) -> None:
    await house.ask("known")
    assert not (await house.ask("known")).stored


async def test_only_if_cached_never_asks_the_model(house: House) -> None:
    await house.ask("known")
    assert (await house.ask("known", compute=False)).sources == [Source.L1]
    with pytest.raises(NotCachedError, match="1 of"):
        await house.ask("known", "unknown", compute=False)
    assert house.computed == ["known"]


async def test_empty_texts_are_named(house: House) -> None:
    with pytest.raises(InvalidRequestError) as refused:
        house.predictor.query(["a", " ", "b", ""])
    assert [fault.index for fault in refused.value.faults] == [1, 3]


async def test_a_deadline_ends_the_wait_and_not_the_work_of_others(house: House) -> None:
    house.open.clear()
    patient = asyncio.create_task(house.ask("slow"))
    await house.entered.wait()
    with pytest.raises(DeadlineExceededError):
        await house.ask("slow", deadline=0.0)
    house.open.set()
    assert rendered((await patient).predictions[0]) == expected("slow")


async def test_an_engine_failure_reaches_all_who_wait_and_is_never_stored(house: House) -> None:
    house.failure = RuntimeError("broken")
    answers = await asyncio.gather(*(house.ask("text") for _ in range(3)), return_exceptions=True)
    assert all(isinstance(answer, EngineError) for answer in answers)
    house.failure = None
    assert (await house.ask("text")).sources == [Source.MODEL]


async def test_a_defect_on_the_way_reaches_all_who_wait(house: House) -> None:
    async def broken(texts: Sequence[str]) -> list[EncodedText]:
        raise ZeroDivisionError(len(texts))

    house.predictor._tokenize = broken
    with pytest.raises(InternalError) as failed:
        await house.ask("text")
    assert isinstance(failed.value.__cause__, ZeroDivisionError)


async def test_hits_are_served_while_misses_are_refused(small_house: House) -> None:
    house = small_house
    await house.ask("known")
    house.open.clear()
    house.entered.clear()
    busy = asyncio.create_task(house.ask("busy"))
    await house.entered.wait()
    waiting = asyncio.create_task(house.ask("one", "two"))
    while house.predictor._admission.waiting_tokens < 64:
        await _turn()
    with pytest.raises(OverloadedError) as refused:
        await house.ask("known", "three")
    assert refused.value.retry_after_s is not None
    assert (await house.ask("known")).sources == [Source.L1]
    house.open.set()
    await asyncio.gather(busy, waiting)


async def test_after_closing_misses_are_refused(house: House) -> None:
    await house.batcher.close(1.0)
    with pytest.raises(DrainingError):
        await house.ask("late")


async def test_fragments_are_json(house: House) -> None:
    answer = await house.ask("text")
    assert {item["label"] for item in json.loads(rendered(answer.predictions[0]))} == {"NEGATIVE", "POSITIVE"}


async def _turn() -> None:
    """Let everything that is ready run once."""
    passed = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_soon(passed.set_result, None)
    await passed
