"""The prediction routes, as plain ASGI: `POST {root}/predict`, and those of every other wire format."""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from traceback import clear_frames
from typing import Final, NamedTuple, TypeAlias

from starlette.types import Receive, Scope, Send

from mlapi.access.gate import Gate
from mlapi.access.keyring import Grant
from mlapi.api.accounting import Accounting
from mlapi.api.answer_headers import answer_headers
from mlapi.api.asking import ask, read_wishes
from mlapi.api.body import CLIENT_GONE, SEND_FAILURES, BodyReader, ClientGoneError, wait_until_gone
from mlapi.api.charging import charged
from mlapi.api.client_limit import ClientLimit, client_name
from mlapi.api.content_coding import find_decoder
from mlapi.api.headers import (
    RequestHead,
    RequestIds,
    check_content_type,
    check_model,
    read_head,
)
from mlapi.api.lifecycle import Phase
from mlapi.api.long_texts import CutTexts, combine, cut
from mlapi.api.served_model import LoadedModel, ServedModel
from mlapi.api.truncation import refuse_truncated
from mlapi.dialects.base import (
    Call,
    CombiningDialect,
    Content,
    Dialect,
    NamingDialect,
    NegotiatingDialect,
    ReadBody,
    TextLimits,
)
from mlapi.dialects.problems import refusal_headers
from mlapi.errors import InternalError, MlapiError, NotFoundError, Violation
from mlapi.predictions import Answer, Found

_log = logging.getLogger(__name__)

HEAD_START: Final = "mlapi.head_start"
"""Where the state of a scope holds a `HeadStart`, if there was one."""

_MAX_NAME_CHARS: Final = 100

_Headers: TypeAlias = list[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class RouteConfig:
    """The settings that the prediction routes need; seconds, and a lower-case header name."""

    limits: TextLimits
    deadline_s: float
    allow_no_cache: bool
    client_header: bytes
    max_body_bytes: int
    idle_s: float
    origins: Sequence[str]


class Target(NamedTuple):
    """A model that a route may ask, and what counts its answers."""

    served: ServedModel
    accounting: Accounting


@dataclass(frozen=True, slots=True)
class RouteParts:
    """What a prediction route works with.

    Attributes:
        served: the model that it asks.
        clock: tells seconds.
        gate: lets requests in by their API keys; None where everybody may ask.
        others: models that a body may name instead.
    """

    config: RouteConfig
    served: ServedModel
    reader: BodyReader
    client_limit: ClientLimit
    accounting: Accounting
    request_ids: RequestIds
    clock: Callable[[], float]
    gate: Gate | None
    others: Sequence[Target] = ()


class HeadStart(NamedTuple):
    """What a server may know of a request before the route comes to serve it.

    Attributes:
        started: when the request was taken up.
        found: what the cache holds of its texts; None if it was not asked.
    """

    started: float
    found: Found | None


class _Written(NamedTuple):
    """An answer, whether a tier keeps all that the model said, and the body that it is sent as."""

    answer: Answer
    stored: bool
    content: bytes | Content


class PredictionRoute:
    """One prediction route. Plain ASGI, because FastAPI's own machinery costs more than a cached answer does."""

    def __init__(self, dialect: Dialect, parts: RouteParts) -> None:
        self.dialect = dialect
        self.parts = parts
        self._negotiate = dialect.negotiate if isinstance(dialect, NegotiatingDialect) else None
        self._named = dialect.named if isinstance(dialect, NamingDialect) else None
        self._combine = dialect.combine if isinstance(dialect, CombiningDialect) else None
        # Which model a body names, and so whether a key is for it, is known when the body has been read.
        self._fixed = None if self._named is not None and parts.others else parts.served.name
        self._config = parts.config
        self._served = parts.served
        self._reader = parts.reader
        self._client_limit = parts.client_limit
        self._accounting = parts.accounting
        self._own = Target(parts.served, parts.accounting)
        self._request_ids = parts.request_ids
        self._clock = parts.clock
        self._gate = parts.gate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        head_start = _head_start(scope)
        started = head_start.started if head_start else self._clock()
        head = read_head(scope["headers"], self._config.client_header)
        request_id = self._request_ids.choose(head.request_id)
        try:
            headers, body = await self._serve(scope, receive, head, started, head_start, request_id=request_id)
            status = sent = 200
        except ClientGoneError:
            self._accounting.request(CLIENT_GONE, self._clock() - started)
            return
        except Exception as raised:  # noqa: BLE001  the last line: whatever breaks, the caller gets a problem document
            status, sent, headers, body = self._problem(raised, request_id)
            # An error's frames hold what failed, thousands of texts perhaps, and with it the error: a cycle, which
            # would stay in memory until garbage is looked for.
            clear_frames(raised.__traceback__)
        if self._served.lifecycle.phase is Phase.DRAINING:
            headers.append((b"connection", b"close"))
        try:
            await send({"type": "http.response.start", "status": sent, "headers": headers})
            await send({"type": "http.response.body", "body": body})
        except SEND_FAILURES:
            await wait_until_gone(receive)
            status = CLIENT_GONE
        self._accounting.request(status, self._clock() - started)

    async def _serve(
        self,
        scope: Scope,
        receive: Receive,
        head: RequestHead,
        started: float,
        head_start: HeadStart | None,
        *,
        request_id: bytes,
    ) -> tuple[_Headers, bytes]:
        grant = self._gate.admit(scope["headers"], self._fixed, "predict") if self._gate else None
        read = self._reader_of(scope, head)
        if self._named is None:
            check_pinned(scope, head, self._served)
        decoder = None
        if head.encoded:
            decoder = find_decoder(value for name, value in scope["headers"] if name == b"content-encoding")
        body = await self._reader.read(receive, head.content_length, decoder)
        call = read(body, self._config.limits)
        target = self._own
        if self._named is not None:
            target, grant = self._choose(self._named(call), scope, grant)
            check_pinned(scope, head, target.served)
        model = target.served.loaded
        try:
            cut_texts = await cut(model, call.texts) if self._combine and self._combine(call) else None
            texts = len(cut_texts.windows if cut_texts else call.texts)
            if self._client_limit.active:
                self._client_limit.check(caller_name(grant, head, scope), texts)
            found = head_start.found if head_start and not cut_texts else None
            answering = self._written(model, call, head, started, receive, found=found, cut_texts=cut_texts)
            answer, stored, content = await (
                charged(self._gate.accounts, grant, texts, answering) if self._gate and grant else answering
            )
        except MlapiError as error:
            if error.faults:
                error.violations = tuple(Violation(call.pointer(fault.index), fault.detail) for fault in error.faults)
            raise
        truncated = target.accounting.texts(answer.predictions, **answer.counts._asdict())
        other = None
        if not isinstance(content, bytes):
            other, content = content, content.body
        headers = answer_headers(
            length=len(content),
            counts=answer.counts,
            stored=stored,
            seconds=self._clock() - started,
            queue_s=answer.queue_s,
            model_s=answer.model_s,
            digest=model.digest,
            truncated=truncated,
            request_id=request_id,
        )
        if other is not None:
            headers[0] = (b"content-type", other.media_type)
            headers += other.headers
        return headers, content

    def _reader_of(self, scope: Scope, head: RequestHead) -> ReadBody:
        if self._negotiate is not None:
            negotiated = self._negotiate(scope["query_string"], dict(scope["headers"]))
            if negotiated is not None:
                return negotiated
        read = self.dialect.reader(scope["query_string"])
        check_content_type(head.content_type)
        return read

    def _choose(self, name: str | None, scope: Scope, grant: Grant | None) -> tuple[Target, Grant | None]:
        """Return the model that a body names, and what the request's key allows with that model.

        Raises:
            NotFoundError: none is named so.
            UnauthorizedError: the key was withdrawn while the body came.
            ForbiddenError: the key is not for that model.
        """
        target = self._find(name)
        if self._gate is not None and self._fixed is None:
            grant = self._gate.admit(scope["headers"], target.served.name, "predict")
        return target, grant

    def _find(self, name: str | None) -> Target:
        """Return the model that a body names: by the name that it is served as, or by its bundle's.

        Raises:
            NotFoundError: none is named so.
        """
        if name is None:
            return self._own
        for target in chain((self._own,), self.parts.others):
            if name in {target.served.name, target.served.loaded.info.name}:
                return target
        msg = f"the model {name[:_MAX_NAME_CHARS]} does not exist here"
        raise NotFoundError(msg)

    async def _written(
        self,
        model: LoadedModel,
        call: Call,
        head: RequestHead,
        started: float,
        receive: Receive,
        *,
        found: Found | None,
        cut_texts: CutTexts | None,
    ) -> _Written:
        """Answer a call and write the answer, which may show that the request has to be refused.

        Raises:
            RequestError: it has.
        """
        wishes = read_wishes(head.cache_control, allow_no_cache=self._config.allow_no_cache)
        deadline = started + self._config.deadline_s
        wait = partial(while_connected, receive=receive)
        texts = cut_texts.windows if cut_texts else call.texts
        answer, stored = await ask(model.predictor, texts, wishes, deadline, found=found, wait=wait)
        if cut_texts and self._combine and (how := self._combine(call)):
            answer = combine(answer, cut_texts, how, model.answering.ranked)
        if not call.truncate:
            refuse_truncated(answer.predictions)
        return _Written(answer, stored, call.write(answer, model.answering))

    async def refuse(self, raised: Exception, request_id: bytes, send: Send) -> int:
        """Send a refusal; return the status to count."""
        status, sent, headers, body = self._problem(raised, request_id)
        await send({"type": "http.response.start", "status": sent, "headers": headers})
        await send({"type": "http.response.body", "body": body})
        return status

    def _problem(self, raised: Exception, request_id: bytes) -> tuple[int, int, _Headers, bytes]:
        """Return a refusal: the status to count, the one to send, headers and body.

        Metrics count in the service's own statuses: in a protocol's, an overload would look like the client's fault.
        """
        error = self._public(raised, request_id)
        refusal = self.dialect.refuse(error, request_id.decode())
        return int(error.status), refusal.status, refusal_headers(error, refusal, request_id.decode()), refusal.body

    def _public(self, raised: Exception, request_id: bytes) -> MlapiError:
        if not isinstance(raised, MlapiError):
            _log.error("a request failed", exc_info=raised, extra={"request_id": request_id.decode()})
            return InternalError("the service failed; the request id finds the reason in its log")
        if isinstance(raised, InternalError):
            _log.error("a prediction failed", exc_info=raised, extra={"request_id": request_id.decode()})
        self._accounting.refusal(raised)
        return raised


async def while_connected(work: Coroutine[None, None, Answer], receive: Receive) -> Answer:
    """Wait for an answer as long as somebody is there to take it.

    Raises:
        ClientGoneError: the caller closed the connection; the work was cancelled.
    """
    task = asyncio.ensure_future(work)
    # The body was read to its end: the next message can only be the disconnect.
    gone = asyncio.ensure_future(receive())
    try:
        await asyncio.wait((task, gone), return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        raise ClientGoneError
    finally:
        gone.cancel()
        if not task.done():
            task.cancel()
            await asyncio.wait((task,))


def caller_name(grant: Grant | None, head: RequestHead, scope: Scope) -> str:
    """Return whom a request counts for; where there are keys, no other header is believed."""
    if grant:
        return grant.id
    peer = scope.get("client")
    return client_name(head.client, peer[0] if peer else "")


def _head_start(scope: Scope) -> HeadStart | None:
    state = scope.get("state")
    return state.get(HEAD_START) if state else None


def check_pinned(scope: Scope, head: RequestHead, served: ServedModel) -> None:
    """Hold a request that names its model by a digest to the model that is served.

    Raises:
        InvalidModelDigestError: it is no digest.
        ModelMismatchError: it is another model's.
    """
    if head.pinned:
        check_model(scope["headers"], served.loaded.info.digest)
