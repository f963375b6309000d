"""Writes the requests that the service understands."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import TypeAlias
from urllib.parse import urlencode, urlsplit

from mlapi_client.answers import Prediction

Key: TypeAlias = str | Callable[[], str] | None
"""An API key, or what returns the one that is valid now, or None where the service needs none."""


@dataclass(frozen=True, slots=True)
class Options:
    """What a request for predictions asks for: `Wishes`, with what is meant where one is left out."""

    detail: bool = False
    truncate: bool = True
    store: bool = True
    top_k: int | None = None
    threshold: float | None = None
    scores: str | None = None
    long: str | None = None
    combine: str | None = None

    @property
    def query(self) -> str:
        """The query string that asks for it, with its question mark; empty if nothing is asked for."""
        given = {"detail": "true"} if self.detail else {}
        if not self.truncate:
            given["truncate"] = "false"
        for name in ("top_k", "threshold", "scores", "long", "combine"):
            value = getattr(self, name)
            if value is not None:
                given[name] = str(value)
        return f"?{urlencode(given)}" if given else ""

    @property
    def headers(self) -> dict[str, str]:
        """The headers that ask for it."""
        return {} if self.store else {"cache-control": "no-store"}


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One request: its URL whole, its headers but the key's."""

    method: str
    url: str
    headers: dict[str, str]
    body: bytes | None = None


class Requests:
    """Writes requests to one model."""

    def __init__(self, url: str, key: Key, model_digest: str | None) -> None:
        """Take the URL of a model, such as https://host/project.

        Raises:
            ValueError: the URL is none, or holds more than that.
        """
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            msg = "the URL must be like https://host/project"
            raise ValueError(msg)
        if parts.query or parts.fragment or parts.username or parts.password:
            # It is not shown: what stands there may be a secret.
            msg = "the URL must be like https://host/project, without a query, a fragment or a password"
            raise ValueError(msg)
        self.url = url.rstrip("/")
        self._key = key
        self._headers = {"accept": "application/json", "user-agent": f"mlapi-client/{_version()}"}
        if model_digest is not None:
            self._headers["model-digest"] = model_digest

    def authorization(self) -> dict[str, str]:
        """Return the header with the key that is valid now.

        Raises:
            ValueError: the key cannot be one.
        """
        key = self._key() if callable(self._key) else self._key
        if key is None:
            return {}
        if not key.isascii() or not key.isprintable() or not key or " " in key:
            msg = "the API key is empty, or has characters that no key has, such as a line end"
            raise ValueError(msg)
        return {"authorization": f"Bearer {key}"}

    def predict(self, texts: Sequence[str], options: Options, route: str) -> Outgoing:
        """Ask for predictions.

        Raises:
            TypeError: something is no text.
        """
        for text in texts:
            if not isinstance(text, str):
                msg = f"a text must be a string, not {type(text).__name__}"
                raise TypeError(msg)
        return self._post(f"{route}{options.query}", {"text": list(texts)}, options.headers)

    def lines(self, options: Options) -> Outgoing:
        """Begin a stream of texts, a line each: the body is to follow."""
        headers = {**self._headers, **options.headers, **self.authorization(), "content-type": "application/x-ndjson"}
        return Outgoing("POST", f"{self.url}/bulk-predict{options.query}", headers | {"accept": "application/x-ndjson"})

    def tokenize(self, texts: Sequence[str]) -> Outgoing:
        """Ask how the model reads texts.

        Raises:
            TypeError: it is a single text, whose characters are not meant.
        """
        if isinstance(texts, str):
            msg = "this takes several texts: put a single one into a list"
            raise TypeError(msg)
        return self.predict(texts, Options(), "tokenize")

    def explain(self, text: str, label: str | None) -> Outgoing:
        """Ask what speaks for a label."""
        query = f"?{urlencode({'label': label})}" if label is not None else ""
        return self._post(f"explain{query}", {"text": text}, {})

    def feedback(
        self, answer: Prediction | str, label: str, *, text: str | None, consent: bool, comment: str | None
    ) -> Outgoing:
        """Say what a text is.

        Raises:
            ValueError: the prediction has no id.
        """
        if isinstance(answer, Prediction):
            if answer.details is None:
                msg = "this prediction has no id: ask with detail=True"
                raise ValueError(msg)
            answer = answer.details.id
        given: dict[str, object] = {"id": answer, "label": label}
        if text is not None:
            given["text"] = text
        if consent:
            given["consent"] = True
        if comment is not None:
            given["comment"] = comment
        return self._post("feedback", given, {})

    def get(self, route: str) -> Outgoing:
        """Ask for a document."""
        return Outgoing("GET", f"{self.url}/{route}", self._headers)

    def _post(self, route: str, content: object, headers: dict[str, str]) -> Outgoing:
        # In ASCII: half of a surrogate pair then reaches the service, which names the text that has it.
        body = json.dumps(content).encode()
        return Outgoing(
            "POST", f"{self.url}/{route}", {**self._headers, "content-type": "application/json", **headers}, body
        )


def _version() -> str:
    try:
        return version("mlapi-client")
    except PackageNotFoundError:  # run from its source
        return "source"
