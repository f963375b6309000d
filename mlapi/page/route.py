"""The pages of one model for people with a browser: one to try it, and one that shows the OpenAPI document."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

import msgspec
from starlette.types import ASGIApp, Receive, Scope, Send

from mlapi.access.gate import Gate
from mlapi.api.body import BodyReader
from mlapi.api.served_model import ServedModel
from mlapi.dialects.base import Refusal
from mlapi.dialects.problems import problem_body, refusal_headers
from mlapi.errors import InvalidRequestError, MlapiError
from mlapi.page import rendering
from mlapi.page.files import HTML, SECURITY, etag, matches
from mlapi.page.form import Form, check_media_type, check_origin, read_form
from mlapi.page.inner_request import Answered, Headers, ask, with_key

_PASSED_ON: Final = (b"cache-status", b"server-timing", b"model-digest", b"retry-after", b"www-authenticate")
"""Headers of an answer for programs that the page passes on."""

_OPINION_SAID: Final = {
    "created": "Your opinion was taken. Thank you.",
    "replaced": "Your opinion took the place of your earlier one.",
    "unchanged": "Your opinion was known already.",
}


@dataclass(frozen=True, slots=True)
class PageParts:
    """What the page works with.

    Attributes:
        served: the model.
        others: the other models of the process.
        predict: answers texts, as the service's own interface does.
        feedback: takes opinions; None where another process does, or nobody.
        explain: says which words speak for a label.
        reader: reads forms.
        max_chars: characters that a text may have.
        gate: lets requests in by their API keys; None: everybody is let in.
    """

    served: ServedModel
    others: Sequence[ServedModel]
    predict: ASGIApp
    feedback: ASGIApp | None
    explain: ASGIApp
    reader: BodyReader
    max_chars: int
    gate: Gate | None


class _RefusedError(Exception):
    """A route refused what the form asked of it."""

    def __init__(self, answered: Answered) -> None:
        super().__init__(answered.status)
        self.answered = answered


class PageRoute:
    """`GET {root}/` is the page; `POST {root}/` is its form, answered by the page with the result in it.

    The form asks the routes that programs ask, within the process: what holds there of keys, limits, cache and metrics
    holds here. It needs no script, and the page's own script sends the same form.
    """

    def __init__(self, parts: PageParts) -> None:
        self._parts = parts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["method"] == "POST":
            await self._post(scope, receive, send)
        else:
            await self._get(scope, send)

    async def _get(self, scope: Scope, send: Send) -> None:
        notice, status = "", HTTPStatus.OK
        try:
            model = self._parts.served.loaded.info
        except MlapiError as error:
            model, status = None, error.status
            notice = f"No texts are classified now: {error.detail}. Load the page again in a moment."
        content = rendering.page(self._shown(scope["headers"], notice=notice, known=model is not None))
        if status is not HTTPStatus.OK:
            await _send(send, status, content, [(b"cache-control", b"no-store"), (b"retry-after", b"1")])
            return
        await _send_unless_known(scope, send, content)

    async def _post(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers: Headers = scope["headers"]
        form = Form()
        try:
            check_origin(headers)
            check_media_type(headers)
            length = dict(headers).get(b"content-length", b"")
            form = read_form(await self._parts.reader.read(receive, length))
            headers = with_key(headers, form.key)
            answered, result = await self._result(form, scope, receive, headers)
        except _RefusedError as refused:
            answered = refused.answered
            retry_after = answered.headers.get(b"retry-after", b"").decode("latin-1")
            result = rendering.problem(msgspec.json.decode(answered.body), retry_after=retry_after)
        except MlapiError as error:
            request_id: str = scope["state"]["request_id"]
            body = problem_body(error, request_id)
            refusal = Refusal(int(error.status), "", body)
            answered = Answered(refusal.status, dict(refusal_headers(error, refusal, request_id)), body)
            result = rendering.problem(msgspec.json.decode(body))
        shown = self._shown(headers, text=form.about if form.opinion or form.explain else form.text, known=True)
        passed_on = [(name, value) for name, value in answered.headers.items() if name in _PASSED_ON]
        content = rendering.page(shown, result)
        await _send(send, answered.status, content, [*passed_on, (b"cache-control", b"no-store")])

    async def _result(self, form: Form, scope: Scope, receive: Receive, headers: Headers) -> tuple[Answered, str]:
        """Return the answer to a form, and how the page shows it.

        Raises:
            _RefusedError: one of the routes refused.
            MlapiError: the same, or the form asks for what is not here.
        """
        parts = self._parts
        text, said = form.text, ""
        explanation = None
        if form.opinion:
            text, said = form.about, await self._opinion(form, scope, receive, headers)
        elif form.explain:
            text = form.about
            body = msgspec.json.encode({"text": text})
            told = _good(await ask(parts.explain, scope, receive, headers=headers, body=body))
            explanation, said = msgspec.json.decode(told.body), "The explanation is below the scores."
        body = msgspec.json.encode({"text": text})
        answered = _good(await ask(parts.predict, scope, receive, headers=headers, body=body, query=b"detail=true"))
        document: dict[str, Any] = msgspec.json.decode(answered.body)
        shown = rendering.Answer(
            text=text,
            scores=[(item["label"], item["score"]) for item in document["predictions"][0]],
            details=document["details"][0],
            model=parts.served.loaded.info,
            server_timing=answered.headers.get(b"server-timing", b"").decode("latin-1"),
            url=f"{_site(scope)}{parts.served.root}/predict",
            keyed=parts.gate is not None,
            opinions=parts.feedback is not None,
            said=said,
            explanation=explanation,
        )
        return answered, rendering.answer(shown)

    async def _opinion(self, form: Form, scope: Scope, receive: Receive, headers: Headers) -> str:
        if self._parts.feedback is None:
            msg = "opinions are not taken here"
            raise InvalidRequestError(msg)
        opinion: dict[str, object] = {"id": form.id, "label": form.opinion}
        if form.consent:
            opinion |= {"text": form.about, "consent": True}
        body = msgspec.json.encode(opinion)
        taken = _good(await ask(self._parts.feedback, scope, receive, headers=headers, body=body))
        status: str = msgspec.json.decode(taken.body)["feedback"][0]["status"]
        return _OPINION_SAID.get(status, status)

    def _shown(self, headers: Headers, *, known: bool, notice: str = "", text: str = "") -> rendering.Shown:
        parts = self._parts
        told = known and self._allowed(parts.served, headers)
        depth = parts.served.root.count("/")
        links = [
            # Relative, so that the page works behind whatever path a gateway puts it.
            (other.name, f"{'../' * depth}{other.root.lstrip('/')}/")
            for other in parts.others
            if self._allowed(other, headers)
        ]
        return rendering.Shown(
            name=parts.served.name,
            max_chars=parts.max_chars,
            keyed=parts.gate is not None,
            links=links,
            model=parts.served.loaded.info if told else None,
            notice=notice,
            text=text,
        )

    def _allowed(self, model: ServedModel, headers: Headers) -> bool:
        """Tell whether a caller may hear of a model: where there are keys, who has none is told nothing."""
        gate = self._parts.gate
        return gate is None or gate.peek(dict(headers), model.name, "predict") is not None


class DocumentationRoute:
    """`GET {root}/docs`: what shows the OpenAPI document, which asks for a key where there are keys."""

    def __init__(self, name: str, root: str, *, keyed: bool) -> None:
        self._make: Callable[[], bytes] = lambda: rendering.documentation(name, root, keyed=keyed)

    async def __call__(self, scope: Scope, _: Receive, send: Send) -> None:
        """Serve one request."""
        await _send_unless_known(scope, send, self._make())


class SlashRoute:
    """`GET {root}`: leads to the page, whose links are relative to the slash at the end of its address."""

    def __init__(self, root: str) -> None:
        self._location = f"{root.rpartition('/')[2]}/".encode()

    async def __call__(self, _: Scope, __: Receive, send: Send) -> None:
        """Serve one request."""
        headers = [(b"location", self._location), (b"cache-control", b"no-cache")]
        await _send(send, HTTPStatus.TEMPORARY_REDIRECT, b"", headers)


async def _send_unless_known(scope: Scope, send: Send, content: bytes) -> None:
    tag = etag(content)
    # What it says may depend on a key.
    headers = [(b"etag", tag), (b"cache-control", b"no-cache, private")]
    if matches(scope, tag):
        await send({"type": "http.response.start", "status": HTTPStatus.NOT_MODIFIED, "headers": [*headers, *SECURITY]})
        await send({"type": "http.response.body", "body": b""})
    else:
        await _send(send, HTTPStatus.OK, content, headers)


async def _send(send: Send, status: int, content: bytes, headers: Sequence[tuple[bytes, bytes]]) -> None:
    own = [(b"content-type", HTML), (b"content-length", b"%d" % len(content))]
    await send({"type": "http.response.start", "status": int(status), "headers": [*own, *headers, *SECURITY]})
    await send({"type": "http.response.body", "body": content})


def _good(answered: Answered) -> Answered:
    if answered.status >= HTTPStatus.BAD_REQUEST:
        raise _RefusedError(answered)
    return answered


def _site(scope: Scope) -> str:
    """Return scheme and host as the browser has them; they are only shown to who sent them."""
    fields: Mapping[bytes, bytes] = dict(scope["headers"])
    scheme = fields.get(b"x-forwarded-proto", b"").decode("latin-1").lower()
    if scheme not in {"http", "https"}:
        scheme = scope.get("scheme", "http")
    return f"{scheme}://{fields.get(b'host', b'localhost').decode('latin-1')}"
