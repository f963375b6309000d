"""Answers a prediction in another server's wire format without a task, when the cache in the process holds all of it.

As `mlapi.server.fast_path`, which knows the native format alone and its bytes; this one has the dialect read and write.
What L1 does not hold all of is the route's, from the beginning.
"""

import secrets
from collections.abc import Mapping
from typing import Final, NamedTuple

from mlapi.api.answer_headers import known_head
from mlapi.api.application import Application
from mlapi.api.client_limit import client_name
from mlapi.api.headers import PLAIN_JSON
from mlapi.api.lifecycle import Phase
from mlapi.api.route import PredictionRoute
from mlapi.api.served_model import LoadedModel
from mlapi.dialects.base import Call, Dialect, NamingDialect, NegotiatingDialect, RepeatingDialect, TextLimits
from mlapi.dialects.native import NativeDialect
from mlapi.errors import RateLimitedError
from mlapi.observability.tracing import Spans
from mlapi.predictions import Answer, Source, SourceCounts
from mlapi.predictor import Predictor
from mlapi.server.known_bodies import Digests, KnownBodies, digests_size
from mlapi.server.requests import Caller

# Looked up once: on Python 3.11 a member of an enumeration costs a microsecond each time it is named.
_READY: Final = Phase.READY
_L1: Final = Source.L1

_VALUES: Final = ("length", "l1", "l2", "milliseconds", "digest", "truncated", "request_id")
_MS: Final = 1e3
_OK: Final = 200

_WISHES: Final = (
    b"cache-control",
    b"content-encoding",
    b"inference-header-content-length",
    b"model-digest",
)
"""Headers that may ask for something else than the usual answer."""

_USUAL: Final = frozenset({b"", b"*/*", b"application/json"})
"""What `Accept` may say where a format has other answers than JSON."""


_MAX_BYTES: Final = 1024 * 1024
"""What is remembered of bodies on one path: there is a dozen of paths, and most callers use one."""

_CALL_COST: Final = 512
"""What a call takes besides what its body says, in bytes."""


class _Read(NamedTuple):
    """What was read in a body: the call, the digests of its texts, and how many bytes it may hold of the body."""

    call: Call
    digests: Digests
    size: int


def _size(read: _Read) -> int:
    return _CALL_COST + read.size + digests_size(read.digests)


class _Reader:
    """Reads the bodies of a dialect; one that came before only once, where the dialect's calls can be kept."""

    def __init__(self, dialect: Dialect, limits: TextLimits) -> None:
        self._read = dialect.reader(b"")
        self._limits = limits
        self._named = dialect.named if isinstance(dialect, NamingDialect) else None
        self._without_texts = dialect.without_texts if isinstance(dialect, RepeatingDialect) else None
        self._known = KnownBodies(secrets.token_bytes(16), _size, _MAX_BYTES)

    def read(self, body: bytes, predictor: Predictor) -> tuple[Call, Digests] | None:
        """Return the call and the digests of its texts; None if it is for another model.

        Raises:
            Exception: something is wrong with the body.
        """
        if self._without_texts is None:
            return self._new(body, predictor)
        known = self._known.get(body)
        if known is not None:
            return known.call, known.digests
        read = self._new(body, predictor)
        if read is not None:
            self._known.put(body, _Read(self._without_texts(read[0]), read[1], len(body)))
        return read

    def _new(self, body: bytes, predictor: Predictor) -> tuple[Call, Digests] | None:
        call = self._read(body, self._limits)
        if self._named is not None and self._named(call) is not None:
            return None
        return call, predictor.query(call.texts).digests


class DialectPath:
    """The short way through one prediction route; until it has an answer, it neither counts nor changes anything."""

    def __init__(self, route: PredictionRoute, spans: Spans | None, *, cross_origin: bool) -> None:
        """Serve what is plain of a route's requests; `spans`: where answers are traced."""
        parts = route.parts
        self._reader = _Reader(route.dialect, parts.config.limits)
        self._negotiates = isinstance(route.dialect, NegotiatingDialect)
        self._config = parts.config
        self._served = parts.served
        self._accounting = parts.accounting
        self._client_limit = parts.client_limit if parts.client_limit.active else None
        self._request_ids = parts.request_ids
        self._clock = parts.clock
        self._spans = spans
        self._cross_origin = cross_origin
        head = known_head(_VALUES)
        self._response = head.format + b"%b"
        self._truncated = head.lines["truncated"]

    def suits(self, headers: Mapping[bytes, bytes]) -> bool:
        """Tell whether a head wishes for nothing but an answer."""
        return (
            headers.get(b"content-type", b"") in PLAIN_JSON
            and not any(name in headers for name in _WISHES)
            and (not self._negotiates or headers.get(b"accept", b"") in _USUAL)
            and not (self._cross_origin and b"origin" in headers)
        )

    def caller(self, headers: Mapping[bytes, bytes]) -> Caller:
        """Return what a head that suits says of who asks."""
        value = headers.get
        return Caller(value(b"x-request-id", b""), value(self._config.client_header, b""), value(b"traceparent", b""))

    def answer(self, caller: Caller, body: bytes, peer: str) -> bytes | None:
        """Return the response after its status line, or None for the route to serve it all.

        Args:
            caller: from the request's head.
            body: all of its body.
            peer: the caller's address.
        """
        started = self._clock()
        if self._served.lifecycle.phase is not _READY or len(body) > self._config.max_body_bytes:
            return None
        try:
            model = self._served.loaded
            read = self._reader.read(body, model.predictor)
            return self._write(model, read, (caller, peer), started) if read else None
        except Exception:  # noqa: BLE001  whatever it is, the route meets it again and finds words for it
            return None

    def _write(
        self, model: LoadedModel, read: tuple[Call, Digests], by: tuple[Caller, str], started: float
    ) -> bytes | None:
        """Record a hit, and return the response; None if it is none, or not a plain one.

        Raises:
            Exception: the request cannot be served.
        """
        (call, digests), (caller, peer) = read, by
        predictions = model.predictor.known(digests)
        if predictions is None or (not call.truncate and any(item.truncated for item in predictions)):
            return None
        count = len(predictions)
        answer = Answer(predictions, (_L1,) * count, digests, SourceCounts(l1=count))
        content = call.write(answer, model.answering)
        if not isinstance(content, bytes):
            return None
        if self._client_limit is not None:
            try:
                self._client_limit.check(client_name(caller.client, peer), count)
            except RateLimitedError:
                return None
        truncated = self._accounting.known_texts(predictions, count, 0)
        seconds = self._clock() - started
        self._accounting.request(_OK, seconds)
        if self._spans is not None:
            self._spans.record(caller.trace, seconds)
        return self._response % (
            len(content),
            count,
            0,
            seconds * _MS,
            model.digest,
            self._truncated % truncated if truncated else b"",
            self._request_ids.choose(caller.given_id),
            content,
        )


def dialect_paths(app: Application) -> dict[bytes, DialectPath]:
    """Return what may answer the predictions of an application in other wire formats than its own, by target.

    Nothing where there are API keys: those are the route's business, and their quotas.
    """
    paths: dict[bytes, DialectPath] = {}
    if app.gate is not None:
        return paths
    for mount in (*app.mounts, app.process):
        for name, route in mount.predictions.items():
            target = f"{mount.root}/{name}"
            if not isinstance(route.dialect, NativeDialect):
                paths[target.encode()] = DialectPath(
                    route, Spans(target) if app.tracing else None, cross_origin=app.cross_origin
                )
    return paths
