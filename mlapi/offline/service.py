"""Answers by asking a running service, a few requests at a time, and patiently."""

import email.utils
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from threading import Event
from typing import Any, Final

from mlapi.offline.base import Answered, OfflineError, Ranking, Refused

try:
    import httpx2
except ImportError as error:
    _MSG = "--server needs the package httpx2: pip install 'mlapi[bulk]'"
    raise OfflineError(_MSG) from error

REQUEST_TEXTS: Final = 256
"""A slow model has to answer them within the service's deadline of 10 seconds; where it cannot, fewer are sent."""

_REQUESTS: Final = 4
_TIMEOUT_S: Final = 60.0
_FIRST_WAIT_S: Final = 0.5
_LONGEST_WAIT_S: Final = 30.0
_LATER: Final = frozenset(
    {
        HTTPStatus.REQUEST_TIMEOUT,
        HTTPStatus.TOO_MANY_REQUESTS,
        HTTPStatus.BAD_GATEWAY,
        HTTPStatus.SERVICE_UNAVAILABLE,
        HTTPStatus.GATEWAY_TIMEOUT,
    }
)
_FEWER: Final = frozenset(
    {HTTPStatus.REQUEST_ENTITY_TOO_LARGE, HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.GATEWAY_TIMEOUT}
)


class ServiceAnswerer:
    """A service at a URL like `https://host/project`.

    Attributes:
        digest: digest of the model that it serves; another one in an answer ends the run.
        unique: how many distinct texts were asked for, each counted once a window.
        cached: how many of those the service did not have to compute.
    """

    def __init__(
        self,
        url: str,
        *,
        key: str | None,
        patience_s: float,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] | None = None,
        say: Callable[[str], None],
        transport: httpx2.BaseTransport | None = None,
    ) -> None:
        """Ask which model is served.

        Args:
            url: what the paths of the model begin with.
            key: API key, if one is needed.
            patience_s: how long the same request is tried again, where that may help.
            clock: tells seconds.
            sleep: waits; by default until `close`.
            say: tells the user why nothing happens.
            transport: what carries requests; by default the network.

        Raises:
            OfflineError: it does not answer, or it is no such service.
        """
        headers = {"authorization": f"Bearer {key}"} if key else {}
        self._url = url.rstrip("/")
        self._client = httpx2.Client(headers=headers, timeout=_TIMEOUT_S, transport=transport)
        self._patience_s = patience_s
        self._clock = clock
        self._closing = Event()
        self._sleep = sleep or self._closing.wait
        self._say = say
        self._threads = ThreadPoolExecutor(_REQUESTS, thread_name_prefix="requests")
        self._piece = REQUEST_TEXTS
        self.unique = 0
        self.cached = 0
        self.digest = ""
        try:
            info = _json(self._ask("GET", "/model", None))
            self.digest = str(info["digest"])
        except KeyError:
            msg = f"{self._url}/model does not say which model it is: is that the URL of a model?"
            raise OfflineError(msg) from None
        finally:
            if not self.digest:
                self.close()

    def answer(self, texts: Sequence[str]) -> list[Answered]:
        """Answer texts in order.

        Raises:
            OfflineError: the service does not answer in time, refuses, or serves another model now.
        """
        unique = list(dict.fromkeys(texts))
        size = self._piece = min(REQUEST_TEXTS, 2 * self._piece)
        pieces = [unique[first : first + size] for first in range(0, len(unique), size)]
        answers: dict[str, Answered] = {}
        for piece, answered in zip(pieces, self._threads.map(self._classify, pieces), strict=True):
            answers.update(zip(piece, answered, strict=True))
        self.unique += len(unique)
        return [answers[text] for text in texts]

    def close(self) -> None:
        """Close the connections; requests that wait for another try give up."""
        self._closing.set()
        self._threads.shutdown(cancel_futures=True)
        self._client.close()

    def _classify(self, texts: Sequence[str]) -> list[Answered]:
        """Ask for a piece; texts that the service refuses are left out, and the others asked for again."""
        refused: dict[int, Refused] = {}
        while True:
            places = [place for place in range(len(texts)) if place not in refused]
            if not places:
                return [refused[place] for place in range(len(texts))]
            response = self._ask("POST", "/bulk-predict?detail=true", {"text": [texts[place] for place in places]})
            if response.status_code == HTTPStatus.OK:
                answered: dict[int, Answered] = dict(zip(places, self._read(response, len(places)), strict=True))
                return [(refused | answered)[place] for place in range(len(texts))]
            if response.status_code in _FEWER and len(places) > 1:
                middle = len(places) // 2
                self._piece = min(self._piece, middle)
                if response.status_code in _LATER:
                    self._wait(response)
                halves = [[texts[place] for place in half] for half in (places[:middle], places[middle:])]
                answered = dict(zip(places, [item for half in halves for item in self._classify(half)], strict=True))
                return [(refused | answered)[place] for place in range(len(texts))]
            problem = _json(response)
            faulty = _faulty(problem, response.status_code, len(places))
            if not faulty:
                msg = (
                    f"the service answered with {response.status_code}: {problem.get('detail') or response.text[:200]}"
                )
                raise OfflineError(msg)
            refused |= {places[place]: item for place, item in faulty.items()}

    def _wait(self, response: httpx2.Response) -> None:
        self._sleep(min(max(_FIRST_WAIT_S, _retry_after(response.headers.get("retry-after"))), _LONGEST_WAIT_S))

    def _read(self, response: httpx2.Response, count: int) -> list[Answered]:
        served = response.headers.get("model-digest")
        if served != self.digest:
            msg = f"the service answers with the model {served} now, and began with {self.digest}"
            raise OfflineError(msg)
        body = _json(response)
        predictions, details = body.get("predictions", ()), body.get("details", ())
        if not len(predictions) == len(details) == count:
            msg = f"the service answered {len(predictions)} of {count} texts"
            raise OfflineError(msg)
        self.cached += sum(detail["cache"] != "model" for detail in details)
        return [
            Ranking(
                tuple(item["label"] for item in prediction),
                tuple(item["score"] for item in prediction),
                bool(detail["truncated"]),
            )
            for prediction, detail in zip(predictions, details, strict=True)
        ]

    def _ask(self, method: str, path: str, body: Mapping[str, Any] | None) -> httpx2.Response:
        """Ask until there is an answer that another try would not change.

        Raises:
            OfflineError: there is none in time.
        """
        give_up_at = self._clock() + self._patience_s
        wait_s = _FIRST_WAIT_S
        while True:
            asked_s = 0.0
            try:
                response = self._client.request(method, self._url + path, json=body)
            except httpx2.TransportError as error:
                reason = f"{type(error).__name__}: {error}"
            except (httpx2.InvalidURL, ValueError) as error:
                msg = f"{self._url}: {error}"
                raise OfflineError(msg) from error
            else:
                many = body is not None and len(body["text"]) > 1
                if response.status_code not in _LATER or (many and response.status_code in _FEWER):
                    return response
                reason = f"{response.status_code} {response.reason_phrase}"
                asked_s = _retry_after(response.headers.get("retry-after"))
            if self._closing.is_set() or self._clock() >= give_up_at:
                msg = f"{self._url} does not answer: {reason}"
                raise OfflineError(msg)
            self._say(f"{self._url}: {reason}; trying again")
            self._sleep(min(max(wait_s, asked_s), max(0.0, give_up_at - self._clock())))
            wait_s = min(2 * wait_s, _LONGEST_WAIT_S)


def _retry_after(value: str | None) -> float:
    """Return the seconds of a `Retry-After` header; 0 where it says nothing."""
    if not value:
        return 0.0
    if value.isdigit():
        return float(value)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except ValueError:
        return 0.0


def _json(response: httpx2.Response) -> Mapping[str, Any]:
    try:
        body = response.json()
    except ValueError:
        body = None
    if not isinstance(body, dict):
        if response.is_success:
            msg = f"{response.url} did not answer with an object in JSON: is that the URL of a model?"
            raise OfflineError(msg)
        return {}
    return body


def _faulty(problem: Mapping[str, Any], status: int, count: int) -> dict[int, Refused]:
    """Return the texts that a refusal names, by their places; the only one, if there is one and it names none."""
    code = str(problem.get("code", "refused"))
    found: dict[int, Refused] = {}
    if status not in {HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.REQUEST_ENTITY_TOO_LARGE}:
        return found
    for error in problem.get("errors", ()):
        *_, place = str(error.get("pointer", "")).split("/")
        if place.isdigit() and int(place) < count:
            found[int(place)] = Refused(code, f"the text {error.get('detail', 'is refused')}")
    if not found and count == 1:
        found[0] = Refused(code, str(problem.get("detail", status)))
    return found
