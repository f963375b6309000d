"""One running version of a model, asked over HTTP: which model it is, its hot texts, its predictions."""

import json
import re
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Any, Final
from urllib.parse import urlsplit

_DETAIL: Final = re.compile(r"(\w+)=(\d+)")
_HTTP_PORT: Final = 80
_OK: Final = 200
_DEFAULT_RETRY_S: Final = 1.0
_MAX_SAID: Final = 200


class VersionError(Exception):
    """A version cannot be asked, or is not what it was a moment ago; the message says which and why."""


class RefusedError(VersionError):
    """A version refused a request.

    Attributes:
        status: the HTTP status.
        retry_after_s: when to try again, seconds; None: not at all.
    """

    def __init__(self, message: str, status: int, retry_after_s: float | None) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after_s = retry_after_s


@dataclass(frozen=True, slots=True)
class Identity:
    """Which model a version serves."""

    name: str
    digest: str
    labels: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class HotSample:
    """What one process says is hot: texts and their counts."""

    process: str
    texts: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Answered:
    """The answer to some texts: the scores of each by label, and how many texts each source answered."""

    scores: Sequence[Mapping[str, float]]
    sources: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a version is: its URL's parts, and an API key.

    Attributes:
        url: as it was given.
        host: of the URL.
        port: of the URL.
        root: what paths begin with.
        tls: whether HTTPS is spoken.
        key: an API key; empty: none.
    """

    url: str
    host: str
    port: int
    root: str
    tls: bool
    key: str = field(default="", repr=False)

    @classmethod
    def read(cls, url: str, key: str = "") -> "Place":
        """Read a URL such as http://HOST:PORT/project.

        Raises:
            ValueError: it is none.
        """
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.username is not None:
            msg = f"{url!r} is not like http://HOST:PORT/project"
            raise ValueError(msg)
        tls = parts.scheme == "https"
        return cls(url, parts.hostname, parts.port or (443 if tls else _HTTP_PORT), parts.path.rstrip("/"), tls, key)

    def addresses(self) -> list[str]:
        """Return every address of the host, which for a headless Service are those of its pods; with TLS, its name.

        Raises:
            VersionError: the name does not resolve.
        """
        if self.tls:
            return [self.host]
        try:
            found = socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM)
        except OSError as error:
            msg = f"{self.url}: the name does not resolve ({error})"
            raise VersionError(msg) from error
        # Of a name with addresses of both families one family is enough: the same pods stand behind the other.
        return list(dict.fromkeys(str(item[4][0]) for item in found if item[0] == found[0][0]))


class Version:
    """A connection to one address of a version."""

    def __init__(
        self, place: Place, address: str | None = None, *, stores: bool = True, timeout_s: float = 30.0
    ) -> None:
        """Connect with the first request.

        Args:
            place: where it is.
            address: which of the place's; None: whichever its name leads to.
            stores: whether it may keep answers, and count the texts for its own sample.
            timeout_s: how long it may take to answer.
        """
        kind = HTTPSConnection if place.tls else HTTPConnection
        self._connection = kind(address or place.host, place.port, timeout=timeout_s)
        self._place = place
        self._digest: str | None = None
        self._stores = stores

    def identity(self) -> Identity:
        """Return which model it serves; from then on an answer of another one is an error.

        Raises:
            VersionError: it cannot be asked.
        """
        _, document = self._ask("GET", "/model", None)
        try:
            identity = Identity(document["name"], document["digest"], tuple(document["labels"]))
        except (KeyError, TypeError) as error:
            msg = f"{self._place.url}: what it says of its model cannot be read"
            raise VersionError(msg) from error
        self._digest = identity.digest
        return identity

    def hot_texts(self, limit: int) -> HotSample:
        """Return its hot texts, at most `limit`.

        Raises:
            RefusedError: it keeps no sample (404), or the key is not one with the scope `admin`.
            VersionError: it cannot be asked.
        """
        _, document = self._ask("GET", f"/hot-texts?limit={limit}", None)
        try:
            return HotSample(document["process"], {item["text"]: int(item["count"]) for item in document["texts"]})
        except (KeyError, TypeError, ValueError) as error:
            msg = f"{self._place.url}: its hot texts cannot be read"
            raise VersionError(msg) from error

    def predict(self, texts: Sequence[str]) -> Answered:
        """Return the predictions of texts.

        Raises:
            RefusedError: it refuses.
            VersionError: it cannot be asked, or serves another model than `identity` said.
        """
        headers, document = self._ask("POST", "/predict", {"text": list(texts)})
        digest = headers.get("model-digest", "")
        if self._digest is not None and digest != self._digest:
            msg = f"{self._place.url}: it served the model {self._digest[:12]}, and now serves {digest[:12]}"
            raise VersionError(msg)
        try:
            scores = [{item["label"]: float(item["score"]) for item in each} for each in document["predictions"]]
        except (KeyError, TypeError, ValueError) as error:
            msg = f"{self._place.url}: its predictions cannot be read"
            raise VersionError(msg) from error
        if len(scores) != len(texts) or not all(scores):
            msg = f"{self._place.url}: it answered {len(scores)} predictions to {len(texts)} texts"
            raise VersionError(msg)
        found = _DETAIL.findall(headers.get("cache-status", "").partition('detail="')[2])
        return Answered(scores, {source: int(count) for source, count in found})

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _ask(self, method: str, path: str, body: object) -> tuple[dict[str, str], Any]:
        headers = {"Host": _authority(self._place), "Content-Type": "application/json"}
        if not self._stores:
            headers["Cache-Control"] = "no-store"
        if self._place.key:
            headers["Authorization"] = f"Bearer {self._place.key}"
        content = None if body is None else json.dumps(body, ensure_ascii=False).encode("utf-8", "surrogatepass")
        for attempt in range(2):
            try:
                self._connection.request(method, self._place.root + path, content, headers)
                response = self._connection.getresponse()
                answer = response.read()
                break
            except (HTTPException, OSError) as error:
                self._connection.close()
                # The service closes a connection that was idle for long, or when it stops: a new one tells.
                if attempt or isinstance(error, TimeoutError):
                    msg = f"{self._place.url} cannot be asked: {type(error).__name__}: {error}"
                    raise VersionError(msg) from error
        fields = {name.lower(): value for name, value in response.getheaders()}
        if response.status != _OK:
            raise self._refused(response.status, fields, answer)
        try:
            return fields, json.loads(answer)
        except ValueError as error:
            msg = f"{self._place.url}{path.partition('?')[0]} did not answer with JSON"
            raise VersionError(msg) from error

    def _refused(self, status: int, fields: Mapping[str, str], answer: bytes) -> RefusedError:
        try:
            said = str(json.loads(answer)["detail"])
        except (ValueError, KeyError, TypeError):
            said = ""
        retry = None
        if status in {408, 429, 503, 504}:
            after = fields.get("retry-after", "")
            retry = float(after) if after.isdecimal() else _DEFAULT_RETRY_S
        msg = f"{self._place.url} answered {status}" + (f": {said[:_MAX_SAID]}" if said else "")
        return RefusedError(msg, status, retry)


def _authority(place: Place) -> str:
    host = f"[{place.host}]" if ":" in place.host else place.host
    return host if place.port == (443 if place.tls else _HTTP_PORT) else f"{host}:{place.port}"
