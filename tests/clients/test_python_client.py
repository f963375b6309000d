"""The Python client against the real process: answers, many texts, refusals, keys, opinions, one model."""

import asyncio
import itertools
import json
import re
import subprocess
import sys
import zipfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx2
import mlapi_client
import msgspec
import pytest
from mlapi_client import (
    AsyncClassifier,
    Classifier,
    ConnectionFailedError,
    ForbiddenError,
    InvalidRequestError,
    ModelMismatchError,
    NotFoundError,
    Prediction,
    Retrying,
    TooLargeError,
    UnauthorizedError,
    UnexpectedAnswerError,
    answers,
)

from tests.architecture.source_rules import ROOT
from tests.e2e.api_keys import KeysFile
from tests.service_process import HOST, ServiceProcess, eventually

FOLDER = ROOT / "clients" / "python"
TEXTS = [f"text number {number}, which is good" for number in range(57)]


@pytest.fixture
def client(service: ServiceProcess) -> Iterator[Classifier]:
    with Classifier(f"{service.url}/project/") as made:
        yield made


@pytest.fixture
async def async_client(service: ServiceProcess) -> AsyncIterator[AsyncClassifier]:
    async with AsyncClassifier(f"{service.url}/project") as made:
        yield made


def told(service: ServiceProcess, text: str) -> tuple[str, float, dict[str, float]]:
    """What the service answers to whoever asks it without the client."""
    scores = service.predict(text).json()["predictions"][0]
    return scores[0]["label"], scores[0]["score"], {item["label"]: item["score"] for item in scores}


def same(prediction: Prediction) -> tuple[str, float, dict[str, float]]:
    return prediction.label, prediction.score, dict(prediction.scores)


async def test_both_give_the_services_answer(
    service: ServiceProcess, client: Classifier, async_client: AsyncClassifier
) -> None:
    for text in ("good", "Ünïcode “quotes” 🎬", "  \n two  lines \n"):
        assert same(client.classify(text)) == same(await async_client.classify(text)) == told(service, text)
    digest = service.client.get("/project/model").json()["digest"]
    assert client.classify("good").model_digest == client.model().digest == digest
    assert await async_client.model() == client.model()


async def test_details_say_where_an_answer_came_from(client: Classifier, async_client: AsyncClassifier) -> None:
    first = client.classify("a text for the details", detail=True).details
    second = (await async_client.classify("a text for the details", detail=True)).details
    assert first is not None
    assert second is not None
    assert (first.source, second.source, first.tokens, first.truncated) == ("model", "l1", second.tokens, False)
    assert client.classify("a text for the details").details is None
    client.classify("a text that is not kept", store=False)
    kept = client.classify("a text that is not kept", detail=True).details
    assert kept is not None
    assert kept.source == "model"


@pytest.mark.parametrize(("chunk", "concurrency"), [(1, 1), (4, 3), (10, 2), (64, 4), (1000, 1)])
async def test_many_come_in_order_whatever_the_service_takes_at_a_time(
    service: ServiceProcess, client: Classifier, async_client: AsyncClassifier, chunk: int, concurrency: int
) -> None:
    expected = [told(service, text) for text in TEXTS]
    found = client.classify_many(iter(TEXTS), chunk=chunk, concurrency=concurrency)
    assert [same(one) for one in found] == expected
    many = async_client.classify_many(iter(TEXTS), chunk=chunk, concurrency=concurrency)
    assert [same(one) async for one in many] == expected


def test_texts_are_taken_a_few_chunks_ahead(client: Classifier) -> None:
    taken: list[int] = []

    def texts() -> Iterator[str]:
        for number in itertools.count():
            taken.append(number)
            yield f"endless {number}"

    many = client.classify_many(texts(), chunk=5, concurrency=2)
    assert [next(many).label for _ in range(7)]
    assert len(taken) <= 20
    many.close()
    with pytest.raises(StopIteration):
        next(many)


async def test_nobody_waits_for_texts_after_an_early_end(async_client: AsyncClassifier) -> None:
    many = async_client.classify_many((f"unending {number}" for number in itertools.count()), chunk=5)
    async for one in many:
        assert one.label
        break
    await many.aclose()
    assert len(asyncio.all_tasks()) == 1


async def test_a_bad_text_is_named_by_its_number_among_all(client: Classifier, async_client: AsyncClassifier) -> None:
    texts = [*TEXTS[:23], "", *TEXTS[23:30], "half a pair \ud83d", "last"]
    with pytest.raises(InvalidRequestError) as refused:
        list(client.classify_many(texts, chunk=10))
    assert (refused.value.text, refused.value.code, refused.value.violations[0].detail) == (
        23,
        "invalid_request",
        "is empty",
    )
    outcomes = list(client.classify_many(texts, chunk=10, return_errors=True))
    bad = {number: one for number, one in enumerate(outcomes) if not isinstance(one, Prediction)}
    assert {number: error.text for number, error in bad.items()} == {23: 23, 31: 31}
    assert len(outcomes) == len(texts)
    again = [one async for one in async_client.classify_many(texts, chunk=10, return_errors=True)]
    assert [str(one) for one in again if isinstance(one, InvalidRequestError)] == [
        str(error).replace(error.request_id, after.request_id)
        for error, after in zip(
            bad.values(), (one for one in again if isinstance(one, InvalidRequestError)), strict=True
        )
    ]
    with pytest.raises(InvalidRequestError):
        await async_client.classify("")


def test_texts_that_are_too_large_together_are_sent_apart(client: Classifier) -> None:
    long = ["long " * 300] * 4
    outcomes = list(client.classify_many([*long, "very long " * 1000, "short"], chunk=10, return_errors=True))
    assert [isinstance(one, Prediction) for one in outcomes] == [True] * 4 + [False, True]
    assert isinstance(outcomes[4], TooLargeError)
    with pytest.raises(TooLargeError) as refused:
        list(client.classify_many([*long, "very long " * 1000], chunk=10))
    assert refused.value.text == 4


def test_a_long_text_is_refused_where_it_must_not_be_cut(client: Classifier) -> None:
    long = "good " * 600
    whole = client.classify(long, detail=True).details
    assert whole is not None
    assert whole.truncated
    outcomes = list(client.classify_many(["short", long], truncate=False, return_errors=True))
    assert [isinstance(one, Prediction) for one in outcomes] == [True, False]
    with pytest.raises(InvalidRequestError, match="text_too_long"):
        client.classify(long, truncate=False)


async def test_an_opinion_is_taken_and_counted_once(client: Classifier, async_client: AsyncClassifier) -> None:
    answer = client.classify("an opinion about this", detail=True)
    assert answer.details is not None
    assert client.feedback(answer, "NEGATIVE") == "created"
    assert await async_client.feedback(answer.details.id, "NEGATIVE") == "unchanged"
    assert await async_client.feedback(answer.details.id, "POSITIVE", text="an opinion about this", consent=True) == (
        "replaced"
    )
    with pytest.raises(InvalidRequestError):
        client.feedback(answer, "NO SUCH LABEL")
    with pytest.raises(ValueError, match="detail=True"):
        client.feedback(client.classify("an opinion about this"), "NEGATIVE")


def test_one_model_answers_or_none(service: ServiceProcess) -> None:
    with Classifier(f"{service.url}/project") as client:
        digest = client.model().digest
    with Classifier(f"{service.url}/project", model_digest=digest[:12]) as same_model:
        assert same_model.classify("good").model_digest == digest
    with (
        Classifier(f"{service.url}/project", model_digest="0" * 12) as another,
        pytest.raises(ModelMismatchError) as refused,
    ):
        another.classify("good")
    assert refused.value.problem.model_digest == digest


async def test_keys_are_sent_read_anew_and_never_shown(tmp_path: Path) -> None:
    file = KeysFile(tmp_path)
    first, of_lab = file.add("first"), file.add("of lab", models=["lab"])
    current = [str(first)]
    with ServiceProcess(keys_file=str(file.path), engine="fake") as service:
        url = f"{service.url}/project"
        with Classifier(url, key=lambda: current[0]) as client:
            assert client.classify("good").label
            second = file.rotate(first)
            file.retire(second)

            def refused() -> bool:
                try:
                    client.classify("good")
                except UnauthorizedError as error:
                    return current[0] not in str(error)
                return False

            eventually(refused, "the first key is not valid any more")
            current[0] = str(second)
            eventually(lambda: not refused(), "the second is")
            assert current[0] not in repr(client)
        async with AsyncClassifier(url, key=str(of_lab)) as other:
            with pytest.raises(ForbiddenError):
                await other.classify("good")
        with Classifier(url) as without, pytest.raises(UnauthorizedError):
            without.classify("good")


def test_what_is_not_the_service_is_told_apart(service: ServiceProcess) -> None:
    impatient = Retrying(deadline_s=0.3, first_pause_s=0.01)
    with Classifier(f"{service.url}/nowhere") as client, pytest.raises(NotFoundError):
        client.classify("good")
    with Classifier(f"http://{HOST}:1/project", retrying=impatient) as client, pytest.raises(ConnectionFailedError):
        client.classify("good")


@pytest.mark.parametrize("said", [[], [{"status": "created"}, {"status": "created"}]])
def test_an_opinion_has_one_answer(said: list[dict[str, str]]) -> None:
    transport = httpx2.MockTransport(lambda _: httpx2.Response(200, json={"feedback": said}))
    with (
        Classifier("http://localhost/project", transport=transport) as client,
        pytest.raises(UnexpectedAnswerError, match=f"{len(said)} answers to one opinion"),
    ):
        client.feedback("an id", "POSITIVE")


@pytest.mark.parametrize(
    "url",
    ["", "localhost:8000/project", "ftp://host/project", "http:///project", "http://u:p@host/x", "http://host/x?key=k"],
)
def test_a_url_that_is_none_is_refused_and_not_repeated(url: str) -> None:
    for kind in (Classifier, AsyncClassifier):
        with pytest.raises(ValueError, match="must be like") as refused:
            kind(url)
        assert not url or url not in str(refused.value)


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda client: client.classify(None), TypeError),
        (lambda client: client.classify_many("one text"), TypeError),
        (lambda client: list(client.classify_many(["good", 7])), TypeError),
        (lambda client: client.tokenize("one text"), TypeError),
        (lambda client: client.classify_many([], chunk=0), ValueError),
        (lambda client: client.classify_many([], concurrency=0), ValueError),
    ],
)
def test_what_is_no_call_is_refused_here(client: Classifier, call: Any, error: type[Exception]) -> None:  # noqa: ANN401
    with pytest.raises(error):
        call(client)


def test_no_texts_are_no_request(service: ServiceProcess, client: Classifier) -> None:
    before = service.metric("mlapi_http_requests_total", route="/project/bulk-predict")
    assert list(client.classify_many([])) == []
    assert service.metric("mlapi_http_requests_total", route="/project/bulk-predict") == before


@pytest.mark.parametrize("key", ["", "two words", "line\nend", "ключ"])
def test_a_key_that_is_none_is_not_sent(client: Classifier, key: str) -> None:
    with Classifier("http://localhost/project", key=key) as made, pytest.raises(ValueError, match="API key") as refused:
        made.classify("good")
    assert not key or key not in str(refused.value)
    assert client.classify("good")


def test_everything_public_is_there() -> None:
    assert sorted(mlapi_client.__all__) == mlapi_client.__all__
    assert all(hasattr(mlapi_client, name) for name in mlapi_client.__all__)


def test_the_wheel_holds_the_client_and_nothing_else(tmp_path: Path) -> None:
    script = f"from poetry.core.masonry.api import build_wheel; print(build_wheel({str(tmp_path)!r}))"
    built = subprocess.run(
        [sys.executable, "-c", script], cwd=FOLDER, capture_output=True, text=True, check=True
    ).stdout.split()[-1]
    with zipfile.ZipFile(tmp_path / built) as wheel:
        names = set(wheel.namelist())
        modules = {f"mlapi_client/{path.name}" for path in (FOLDER / "mlapi_client").glob("*.py")}
        assert {name for name in names if ".dist-info/" not in name} == modules | {"mlapi_client/py.typed"}
        folder = next(name.partition("/")[0] for name in names if ".dist-info/" in name)
        metadata = wheel.read(f"{folder}/METADATA").decode()
        assert wheel.read(f"{folder}/licenses/LICENSE") == (ROOT / "LICENSE").read_bytes()
    needed = {line.split()[1] for line in metadata.splitlines() if line.startswith("Requires-Dist:")}
    assert needed == {"h11", "httpx2", "msgspec"}
    # It is another program than the service, whose modules it must not need.
    sources = "".join(path.read_text(encoding="utf-8") for path in (FOLDER / "mlapi_client").glob("*.py"))
    assert re.findall(r"^(?:from|import) mlapi\b(?!_)", sources, re.MULTILINE) == []


def test_what_it_reads_is_what_the_service_documents() -> None:
    schemas = json.loads((ROOT / "docs" / "openapi.json").read_text(encoding="utf-8"))["components"]["schemas"]
    for read, written in (
        (answers._Predictions, "PredictResponse"),
        (answers._LabelScore, "LabelScore"),
        (answers._Detail, "TextDetail"),
        (answers._Document, "Problem"),
        (answers._Item, "Violation"),
        (answers.Model, "ModelInfo"),
    ):
        names = {field.encode_name for field in msgspec.inspect.type_info(read).fields}  # type: ignore[attr-defined]
        assert names
        assert names <= set(schemas[written]["properties"]), written
