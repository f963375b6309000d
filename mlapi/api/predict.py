"""The prediction routes, as plain ASGI: `POST {root}/predict` and `POST {root}/bulk-predict`."""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, replace
from traceback import clear_frames
from typing import Final, NamedTuple, TypeAlias
from urllib.parse import parse_qsl

import msgspec
from starlette.types import Receive, Scope, Send

from mlapi.api.accounting import Accounting
from mlapi.api.body import CLIENT_GONE, SEND_FAILURES, BodyReader, ClientGoneError, wait_until_gone
from mlapi.api.client_limit import ClientLimit
from mlapi.api.content_coding import find_decoder
from mlapi.api.decoding import TextLimits, Texts, decode_texts
from mlapi.api.headers import (
    RequestHead,
    RequestIds,
    cache_directives,
    cache_status,
    check_content_type,
    read_head,
    server_timing,
)
from mlapi.api.listening import plain_address
from mlapi.api.problems import problem_body, problem_headers
from mlapi.api.state import Phase, Service, ServiceState
from mlapi.errors import InternalError, InvalidRequestError, MlapiError, TextTooLongError, Violation
from mlapi.predictions import Answer, Findings, Prediction, Source, SourceCounts
from mlapi.predictor import Policy

_log = logging.getLogger(__name__)

FOUND: Final = "mlapi.found"
"""Where the state of a scope holds what was `Found`, if anything was."""

_L1: Final = Source.L1
_FLAGS: Final = {"true": True, "1": True, "false": False, "0": False}

_Headers: TypeAlias = list[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class RouteConfig:
    """The settings that the prediction routes need; seconds, and a lower-case header name."""

    limits: TextLimits
    deadline_s: float
    allow_no_cache: bool
    client_header: bytes
    max_body_bytes: int


@dataclass(frozen=True, slots=True)
class RouteParts:
    """What a prediction route works with; `clock` tells seconds."""

    config: RouteConfig
    state: ServiceState
    reader: BodyReader
    client_limit: ClientLimit
    accounting: Accounting
    request_ids: RequestIds
    clock: Callable[[], float]


class Found(NamedTuple):
    """What a server may know of a request before the route comes to serve it.

    Attributes:
        started: when the request was taken up.
        findings: what the cache holds of its texts; None if it was not asked.
    """

    started: float
    findings: Findings | None


@dataclass(frozen=True, slots=True)
class _Wishes:
    """What the query string asks for."""

    detail: bool = False
    truncate: bool = True


_NO_WISHES: Final = _Wishes()


class PredictionRoute:
    """One prediction route. Plain ASGI, because FastAPI's own machinery costs more than a cached answer does."""

    def __init__(self, parts: RouteParts) -> None:
        """Wire the parts."""
        self.parts = parts
        self._config = parts.config
        self._state = parts.state
        self._reader = parts.reader
        self._client_limit = parts.client_limit
        self._accounting = parts.accounting
        self._request_ids = parts.request_ids
        self._clock = parts.clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        found = _found(scope)
        started = found.started if found else self._clock()
        head = read_head(scope["headers"], self._config.client_header)
        request_id = self._request_ids.choose(head.request_id)
        try:
            headers, body = await self._serve(scope, receive, head, started)
            status = 200
            headers.append((b"x-request-id", request_id))
        except ClientGoneError:
            self._accounting.request(CLIENT_GONE, self._clock() - started)
            return
        except Exception as raised:  # noqa: BLE001  the last line: whatever breaks, the caller gets a problem document
            status, headers, body = self._problem(raised, request_id)
            # An error's frames hold what failed, thousands of texts perhaps, and with it the error: a cycle, which
            # would stay in memory until garbage is looked for.
            clear_frames(raised.__traceback__)
        if self._state.phase is Phase.DRAINING:
            headers.append((b"connection", b"close"))
        try:
            await send({"type": "http.response.start", "status": status, "headers": headers})
            await send({"type": "http.response.body", "body": body})
        except SEND_FAILURES:
            await wait_until_gone(receive)
            status = CLIENT_GONE
        self._accounting.request(status, self._clock() - started)

    async def _serve(self, scope: Scope, receive: Receive, head: RequestHead, started: float) -> tuple[_Headers, bytes]:
        found = _found(scope)
        query_string = scope["query_string"]
        wishes = _read_wishes(query_string) if query_string else _NO_WISHES
        check_content_type(head.content_type)
        decoder = None
        if head.encoded:
            decoder = find_decoder(value for name, value in scope["headers"] if name == b"content-encoding")
        body = await self._reader.read(receive, head.content_length, decoder)
        texts = decode_texts(body, self._config.limits)
        if self._client_limit.active:
            self._client_limit.check(_client(scope, head), len(texts.items))
        service = self._state.service
        try:
            findings = found.findings if found else None
            answer, stored = await self._answer(service, texts, head, started, receive, findings=findings)
            if not wishes.truncate:
                _refuse_truncated(answer.predictions)
        except MlapiError as error:
            if texts.bare and error.violations:
                error.violations = tuple(replace(item, pointer="/text") for item in error.violations)
            raise
        truncated = self._accounting.texts(answer.predictions, **answer.counts._asdict())
        content = _render(answer, service, detail=wishes.detail)
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(content)),
            (b"cache-status", cache_status(answer.counts, stored=stored)),
            (b"server-timing", server_timing(self._clock() - started, answer.queue_s, answer.model_s)),
            service.digest_header,
        ]
        if truncated:
            headers.append((b"x-truncated", b"%d" % truncated))
        return headers, content

    async def _answer(
        self,
        service: Service,
        texts: Texts,
        head: RequestHead,
        started: float,
        receive: Receive,
        *,
        findings: Findings | None,
    ) -> tuple[Answer, bool]:
        predictor = service.predictor
        query = predictor.query(texts.items)
        directives = cache_directives(head.cache_control)
        read = not (self._config.allow_no_cache and b"no-cache" in directives)
        if findings is None:
            findings = predictor.recall(query) if read else Findings([None] * len(query.digests))
        known = [prediction for prediction in findings.held if prediction is not None]
        if len(known) == len(findings.held):
            return Answer(known, (_L1,) * len(known), query.digests, SourceCounts(l1=len(known))), False
        policy = Policy(
            started + self._config.deadline_s,
            read=read,
            store=b"no-store" not in directives,
            compute=b"only-if-cached" not in directives,
        )
        answer = await _while_connected(predictor.predict(query, findings, policy), receive)
        return answer, policy.store and answer.counts.model > 0

    def _problem(self, raised: Exception, request_id: bytes) -> tuple[int, _Headers, bytes]:
        """Return status, headers and body of the problem document."""
        error = self._public(raised, request_id)
        body = problem_body(error, request_id.decode())
        return int(error.status), problem_headers(error, body, request_id.decode()), body

    def _public(self, raised: Exception, request_id: bytes) -> MlapiError:
        if not isinstance(raised, MlapiError):
            _log.error("a request failed", exc_info=raised, extra={"request_id": request_id.decode()})
            return InternalError("the service failed; the request id finds the reason in its log")
        if isinstance(raised, InternalError):
            _log.error("a prediction failed", exc_info=raised, extra={"request_id": request_id.decode()})
        self._accounting.refusal(raised)
        return raised


async def _while_connected(work: Coroutine[None, None, Answer], receive: Receive) -> Answer:
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


def _found(scope: Scope) -> Found | None:
    state = scope.get("state")
    return state.get(FOUND) if state else None


def _read_wishes(query_string: bytes) -> _Wishes:
    given = dict(parse_qsl(query_string.decode("latin-1"), keep_blank_values=True))
    flags = {}
    for name in ("detail", "truncate"):
        if name in given:
            value = given[name].lower()
            if value not in _FLAGS:
                msg = f"the query parameter {name} must be true or false"
                raise InvalidRequestError(msg)
            flags[name] = _FLAGS[value]
    return _Wishes(**flags)


def _client(scope: Scope, head: RequestHead) -> str:
    if head.client:
        return head.client.decode("latin-1")
    peer = scope.get("client")
    return plain_address(peer[0]) if peer else ""


def _refuse_truncated(predictions: Sequence[Prediction]) -> None:
    long = [index for index, prediction in enumerate(predictions) if prediction.truncated]
    if long:
        msg = f"{len(long)} of {len(predictions)} texts are longer than the model reads"
        detail = "is longer than the model reads"
        raise TextTooLongError(msg, violations=[Violation(f"/text/{index}", detail) for index in long])


def _render(answer: Answer, service: Service, *, detail: bool) -> bytes:
    predictions = b",".join([prediction.fragment for prediction in answer.predictions])
    if not detail:
        return b'{"predictions":[' + predictions + b"]}"
    details = [
        {
            "cache": source.value,
            "tokens": prediction.tokens,
            "truncated": prediction.truncated,
            "id": f"{digest[:16].hex()}-{service.model.digest}",
        }
        for prediction, source, digest in zip(answer.predictions, answer.sources, answer.digests, strict=True)
    ]
    model = {"name": service.model.name, "digest": service.model.digest}
    return b'{"predictions":[%b],"details":%b,"model":%b}' % (
        predictions,
        msgspec.json.encode(details),
        msgspec.json.encode(model),
    )
