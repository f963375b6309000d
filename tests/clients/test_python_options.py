"""The Python client against the real process: wishes, windows, tokens, explanations, and texts as a stream of lines."""

import asyncio
import itertools
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from mlapi_client import (
    ApiError,
    AsyncClassifier,
    Classifier,
    ConnectionFailedError,
    InvalidRequestError,
    NotFoundError,
    Prediction,
    Retrying,
    TimedOutError,
    UnauthorizedError,
    Wishes,
)

from tests.e2e.api_keys import KeysFile
from tests.service_process import ServiceProcess

LONG = "so far. " * 300  # more tokens than the model reads, in fewer bytes than the service takes


@pytest.fixture
def client(service: ServiceProcess) -> Iterator[Classifier]:
    with Classifier(f"{service.url}/project") as made:
        yield made


@pytest.fixture
async def async_client(service: ServiceProcess) -> AsyncIterator[AsyncClassifier]:
    async with AsyncClassifier(f"{service.url}/project") as made:
        yield made


@pytest.mark.parametrize(
    ("wishes", "query"),
    [
        ({"top_k": 1}, "top_k=1"),
        ({"threshold": 0.5}, "threshold=0.5"),
        ({"scores": "logits"}, "scores=logits"),
        ({"scores": "logits", "threshold": -1.5, "top_k": 2}, "scores=logits&threshold=-1.5&top_k=2"),
        ({"long": "windows"}, "long=windows"),
        ({"long": "windows", "combine": "max"}, "long=windows&combine=max"),
    ],
    ids=str,
)
async def test_a_wish_gets_the_services_answer(
    service: ServiceProcess, client: Classifier, async_client: AsyncClassifier, wishes: Wishes, query: str
) -> None:
    said = service.client.post(f"/project/predict?{query}", json={"text": LONG}).json()["predictions"][0]
    expected = {item["label"]: item["score"] for item in said}
    found = [
        client.classify(LONG, **wishes),
        await async_client.classify(LONG, **wishes),
        *client.classify_many([LONG], **wishes),
        *[one async for one in async_client.classify_many([LONG], **wishes)],
        *await asyncio.to_thread(list, client.classify_stream([LONG], **wishes)),
        *[one async for one in async_client.classify_stream([LONG], **wishes)],
    ]
    assert [dict(one.scores) for one in found] == [expected] * 6
    assert {(one.label, one.score) for one in found} == {(said[0]["label"], said[0]["score"])}


def test_without_a_label_above_the_threshold_there_is_none(client: Classifier) -> None:
    (none,) = client.classify_many(["good"], threshold=1.0)
    assert (none.label, none.score, dict(none.scores)) == ("", 0.0, {})


def test_windows_are_counted(client: Classifier) -> None:
    details = client.classify(LONG, detail=True, long="windows").details
    assert details is not None
    assert details.windows is not None
    assert details.windows > 1
    short = client.classify("good", detail=True).details
    assert short is not None
    assert short.windows is None


def test_what_the_service_does_not_take_is_its_refusal(client: Classifier) -> None:
    with pytest.raises(InvalidRequestError, match="top_k must be a whole number"):
        client.classify("good", top_k=0)
    with pytest.raises(TypeError, match="unexpected keyword"):
        client.classify("good", topk=1)  # type: ignore[call-arg]


async def test_tokens_and_explanations_are_the_services(
    service: ServiceProcess, client: Classifier, async_client: AsyncClassifier
) -> None:
    said = service.client.post("/project/tokenize", json={"text": ["a good one", "b"]}).json()["texts"]
    found = client.tokenize(["a good one", "b"])
    assert found == await async_client.tokenize(["a good one", "b"])
    for tokens, document in zip(found, said, strict=True):
        assert [tokens.ids, tokens.tokens, tokens.truncated] == [document[k] for k in ("ids", "tokens", "truncated")]
        assert [place and list(place) for place in tokens.offsets or ()] == document["offsets"]
    explained = client.explain("a good one")
    assert [span.text for span in explained.spans] == ["a", "good", "one"]
    assert await async_client.explain("a good one", explained.label) == explained
    other = next(label for label in client.model().labels if label != explained.label)
    assert client.explain("a good one", label=other).label == other


TEXTS = [f"streamed text number {number}" for number in range(3_000)]


async def test_a_stream_answers_in_order_more_than_both_sides_hold(
    client: Classifier, async_client: AsyncClassifier
) -> None:
    expected = {one.label for one in client.classify_many(TEXTS[:3])}
    found = await asyncio.to_thread(lambda: [*client.classify_stream(iter(TEXTS), detail=True)])
    again = [one async for one in async_client.classify_stream(TEXTS)]
    assert [one.label for one in again] == [one.label for one in found]
    assert len(found) == len(TEXTS)
    assert expected <= {one.label for one in found}
    digest = client.model().digest
    assert {one.model_digest for one in found} == {digest}
    some = [*client.classify_many(TEXTS[::300])]
    assert [one.scores for one in found[::300]] == [one.scores for one in some]


async def test_answers_come_while_texts_are_made(async_client: AsyncClassifier) -> None:
    answered = asyncio.Queue[str]()
    answered.put_nowait("nothing yet")

    async def texts() -> AsyncIterator[str]:
        for number in range(3):
            async with asyncio.timeout(10):
                await answered.get()
            yield f"one after the other {number}"

    async for one in async_client.classify_stream(texts()):
        answered.put_nowait(one.label)
    assert answered.qsize() == 1


def test_of_an_endless_stream_a_bounded_part_is_taken(client: Classifier) -> None:
    taken = itertools.count()
    stream = client.classify_stream(f"endless {next(taken)}" for _ in itertools.count())
    assert [next(stream).label for _ in range(5)]
    threads = threading.active_count()
    assert next(taken) < 100_000
    stream.close()
    assert threading.active_count() <= threads


async def test_a_bad_text_stands_in_its_place_or_ends_the_stream(
    client: Classifier, async_client: AsyncClassifier
) -> None:
    texts = ["good", "", "fine", "half a pair \ud83d"]
    kept = [one async for one in async_client.classify_stream(texts, return_errors=True)]
    assert [isinstance(one, Prediction) for one in kept] == [True, False, True, False]
    assert [one.text for one in kept if isinstance(one, ApiError)] == [1, 3]
    assert {type(one) for one in kept if isinstance(one, ApiError)} == {InvalidRequestError}
    with pytest.raises(InvalidRequestError) as refused:
        await asyncio.to_thread(list, client.classify_stream(texts))
    assert refused.value.text == 1


@pytest.mark.parametrize("fault", [LookupError("out of texts"), OSError("out of texts")], ids=["any", "of a file"])
async def test_what_goes_wrong_with_the_texts_is_the_callers(async_client: AsyncClassifier, fault: Exception) -> None:
    def texts() -> Iterator[str]:
        yield "good"
        raise fault

    with pytest.raises(type(fault), match="out of texts"):
        [one async for one in async_client.classify_stream(texts())]
    with pytest.raises(TypeError, match="must be a string, not int"):
        [one async for one in async_client.classify_stream([1])]  # type: ignore[list-item]
    with pytest.raises(TypeError, match="one text is classified by"):
        [one async for one in async_client.classify_stream("good")]


async def test_a_stream_that_is_refused_as_a_whole(service: ServiceProcess, tmp_path: Path) -> None:
    async with AsyncClassifier(f"{service.url}/nowhere") as lost:
        with pytest.raises(NotFoundError):
            [one async for one in lost.classify_stream(TEXTS)]
    keys = KeysFile(tmp_path)
    key = keys.add("reader")
    with ServiceProcess(engine="fake", keys_file=str(keys.path)) as guarded:
        async with AsyncClassifier(f"{guarded.url}/project") as nobody:
            with pytest.raises(UnauthorizedError):
                [one async for one in nobody.classify_stream(["good"])]
        async with AsyncClassifier(f"{guarded.url}/project", key=lambda: str(key)) as somebody:
            assert [one async for one in somebody.classify_stream(["good"])]


async def test_a_server_that_is_silent_or_gone() -> None:
    quick = Retrying(timeout_s=0.2)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        async with AsyncClassifier(f"http://127.0.0.1:{port}/project", retrying=quick) as client:
            with pytest.raises(TimedOutError):
                [one async for one in client.classify_stream(["good"])]
    async with AsyncClassifier(f"http://127.0.0.1:{port}/project", retrying=quick) as client:
        with pytest.raises(ConnectionFailedError):
            [one async for one in client.classify_stream(["good"])]
