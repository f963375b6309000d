"""Writes the requests that the service understands."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import TypeAlias
from urllib.parse import urlsplit

from mlapi_client.answers import Prediction

Key: TypeAlias = str | Callable[[], str] | None
"""An API key, or what returns the one that is valid now, or None where the service needs none."""


@dataclass(frozen=True, slots=True)
class Options:
    """What a request for predictions may ask for.

    Attributes:
        detail: say of each text where its answer came from, its tokens, and its id for feedback.
        truncate: cut texts that are longer than the model reads; else they are refused.
        store: whether the service may keep the answers in its cache.
    """

    detail: bool = False
    truncate: bool = True
    store: bool = True


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
        query = [
            name for name, given in (("detail=true", options.detail), ("truncate=false", not options.truncate)) if given
        ]
        headers = {} if options.store else {"cache-control": "no-store"}
        return self._post(f"{route}?{'&'.join(query)}" if query else route, {"text": list(texts)}, headers)

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
