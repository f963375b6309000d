"""A service is asked in pieces and patiently; what it refuses is refused, and nothing is taken for an answer."""

import json
from collections.abc import Callable, Sequence

import httpx2
import pytest

from mlapi.offline.base import OfflineError, Ranking, Refused
from mlapi.offline.service import ServiceAnswerer

DIGEST = "ab" * 16
Handler = Callable[[list[str]], httpx2.Response]


def answer(texts: Sequence[str], digest: str = DIGEST) -> httpx2.Response:
    predictions = [[{"label": text, "score": 0.75}, {"label": "other", "score": 0.25}] for text in texts]
    details = [{"cache": "l1" if text.startswith("k") else "model", "truncated": text == "long"} for text in texts]
    body = {"predictions": predictions, "details": details}
    return httpx2.Response(200, json=body, headers={"model-digest": digest})


def refusal(status: int, code: str, places: Sequence[int] = (), retry_after: str = "") -> httpx2.Response:
    errors = [{"pointer": f"/text/{place}", "detail": "is empty"} for place in places]
    body = {"code": code, "detail": "no", **({"errors": errors} if errors else {})}
    return httpx2.Response(status, json=body, headers={"retry-after": retry_after})


class Service:
    """A service that a function speaks for, and a clock that only its clients' waiting moves."""

    def __init__(self, handler: Handler) -> None:
        self.asked: list[list[str]] = []
        self.said: list[str] = []
        self.now = 0.0
        self._handler = handler

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        assert request.headers["authorization"] == "Bearer secret"
        if request.url.path == "/project/model":
            return httpx2.Response(200, json={"digest": DIGEST})
        assert str(request.url) == "http://service.test/project/bulk-predict?detail=true"
        texts: list[str] = json.loads(request.content)["text"]
        self.asked.append(texts)
        return self._handler(texts)

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def open(self, transport: httpx2.BaseTransport | None = None) -> ServiceAnswerer:
        return ServiceAnswerer(
            "http://service.test/project/",
            key="secret",
            patience_s=60.0,
            clock=lambda: self.now,
            sleep=self.sleep,
            say=self.said.append,
            transport=transport or httpx2.MockTransport(self),
        )


def test_equal_texts_are_sent_once_and_in_pieces() -> None:
    service = Service(answer)
    answerer = service.open()
    texts = [f"k{number % 500}" for number in range(1000)]
    found = answerer.answer(texts)
    assert found == [Ranking((text, "other"), (0.75, 0.25)) for text in texts]
    assert sorted(map(len, service.asked)) == [244, 256]
    assert (answerer.unique, answerer.cached, answerer.digest) == (500, 500, DIGEST)
    assert answerer.answer(["long"]) == [Ranking(("long", "other"), (0.75, 0.25), truncated=True)]
    assert answerer.answer([]) == []
    answerer.close()


def test_a_text_that_is_refused_costs_the_others_nothing() -> None:
    def handler(texts: list[str]) -> httpx2.Response:
        bad = [place for place, text in enumerate(texts) if not text.strip()][:1]
        return refusal(422, "invalid_request", bad) if bad else answer(texts)

    answerer = Service(handler).open()
    a, first, b, second = answerer.answer(["a", "", "b", " "])
    assert isinstance(a, Ranking)
    assert isinstance(b, Ranking)
    assert first == second == Refused("invalid_request", "the text is empty")
    assert answerer.answer([""]) == [first]
    answerer.close()


def test_what_is_too_much_is_divided() -> None:
    def handler(texts: list[str]) -> httpx2.Response:
        if len(texts) > 100:
            return refusal(503, "overloaded", retry_after="7")
        return refusal(413, "payload_too_large") if "huge" in texts else answer(texts)

    service = Service(handler)
    answerer = service.open()
    texts = [*map(str, range(250)), "huge"]
    *others, huge = answerer.answer(texts)
    assert [found.labels[0] for found in others if isinstance(found, Ranking)] == texts[:-1]
    assert huge == Refused("payload_too_large", "no")
    assert service.now >= 7
    answerer.close()


def test_it_waits_while_the_service_is_away() -> None:
    failures = iter([httpx2.ConnectError("refused"), refusal(429, "rate_limited", retry_after="9"), None])

    def handler(texts: list[str]) -> httpx2.Response:
        failure = next(failures)
        if isinstance(failure, Exception):
            raise failure
        return failure or answer(texts)

    service = Service(handler)
    answerer = service.open()
    assert isinstance(answerer.answer(["a"])[0], Ranking)
    assert service.now == pytest.approx(9.5)
    assert [line.partition(": ")[2] for line in service.said] == [
        "ConnectError: refused; trying again",
        "429 Too Many Requests; trying again",
    ]
    answerer.close()


@pytest.mark.parametrize(
    ("handler", "said"),
    [
        (lambda texts: answer(texts, "cd" * 16), f"the model {'cd' * 16} now, and began with {DIGEST}"),
        (lambda texts: answer(texts[1:]), "answered 1 of 2 texts"),
        (lambda _: httpx2.Response(200, text="hello", headers={"model-digest": DIGEST}), "an object in JSON"),
        (lambda _: refusal(401, "unauthorized"), "answered with 401: no"),
        (lambda _: refusal(422, "invalid_request", [7]), "answered with 422: no"),
        (lambda _: httpx2.Response(500, text="<html>"), "answered with 500: <html>"),
        (lambda _: httpx2.Response(302, headers={"location": "/login"}), "answered with 302"),
        (lambda _: refusal(502, "bad_gateway"), "does not answer: 502 Bad Gateway"),
    ],
    ids=[
        "another model",
        "too few",
        "no JSON",
        "no key",
        "a text that was not sent",
        "broken",
        "elsewhere",
        "for ever",
    ],
)
def test_what_is_no_answer_ends_the_run(handler: Handler, said: str) -> None:
    service = Service(handler)
    answerer = service.open()
    with pytest.raises(OfflineError, match=said):
        answerer.answer(["a", "b"])
    assert service.now <= 60.0
    answerer.close()


@pytest.mark.parametrize(
    ("response", "said"),
    [
        (httpx2.Response(200, json={"name": "x"}), "is that the URL of a model"),
        (httpx2.Response(200, text="hello"), "is that the URL of a model"),
        (httpx2.Response(404, json={"detail": "nothing here"}), "is that the URL of a model"),
    ],
    ids=["other JSON", "no JSON", "nothing there"],
)
def test_what_is_no_service_is_told(response: httpx2.Response, said: str) -> None:
    with pytest.raises(OfflineError, match=said):
        Service(answer).open(httpx2.MockTransport(lambda _: response))
