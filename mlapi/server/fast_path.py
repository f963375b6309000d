"""Answers a prediction without a task, in the bytes of the ordinary way, when the cache holds all of its texts."""

import secrets
from collections.abc import Callable, Mapping, Sequence
from typing import Final, cast

from mlapi.api.accounting import Accounting
from mlapi.api.application import Application
from mlapi.api.headers import PLAIN_JSON, RequestIds
from mlapi.api.lifecycle import Phase
from mlapi.api.served_model import LoadedModel, ServedModel
from mlapi.dialects.base import TextLimits
from mlapi.dialects.native import NativeDialect, write_known
from mlapi.dialects.native_body import read_texts
from mlapi.predictions import Found, Prediction
from mlapi.predictor import Predictor
from mlapi.server.known_bodies import Digests, KnownBodies
from mlapi.server.plain_bodies import MAX_BODY_BYTES, read_forms

# Looked up once: on Python 3.11 a member of an enumeration costs a microsecond each time it is named.
_READY: Final = Phase.READY

_RESPONSE: Final = (
    b"content-type: application/json\r\n"
    b"content-length: %d\r\n"
    b'cache-status: mlapi; hit; detail="l1=%d l2=%d collapsed=0 model=0"\r\n'
    b"server-timing: cache;dur=%.3f\r\n"
    b"model-digest: %b\r\n"
    b"%b"
    b"x-request-id: %b\r\n"
    b"\r\n"
    b'{"predictions":[%b]}'
)
_TRUNCATED: Final = b"x-truncated: %d\r\n"
_MS: Final = 1e3

_OK: Final = 200


class FastPath:
    """The short way through one prediction route.

    It serves what nearly every request is: valid, without special wishes, from a caller without a limit. All else is
    left to the route, which begins anew: until it has an answer, the short way neither counts nor changes anything.
    """

    def __init__(
        self,
        *,
        limits: TextLimits,
        max_body_bytes: int,
        served: ServedModel,
        bodies: KnownBodies,
        accounting: Accounting,
        request_ids: RequestIds,
        cross_origin: bool,
        clock: Callable[[], float],
    ) -> None:
        """Wire the parts; `cross_origin`: pages of other origins get more headers; `clock` tells seconds."""
        self._limits = limits
        # No text is longer than the body that holds it.
        self._plain_bytes = min(MAX_BODY_BYTES, limits.chars)
        self._max_body_bytes = max_body_bytes
        self._served = served
        self._bodies = bodies
        self._accounting = accounting
        self._request_ids = request_ids
        self._cross_origin = cross_origin
        self._clock = clock

    def suits(self, headers: Mapping[bytes, bytes]) -> bool:
        """Tell whether a head wishes for nothing but an answer.

        Args:
            headers: the request's headers by their names in lower case; of a POST without a query string.
        """
        return (
            headers.get(b"content-type", b"") in PLAIN_JSON
            and b"cache-control" not in headers
            and b"content-encoding" not in headers
            and not (self._cross_origin and b"origin" in headers)
        )

    def answer(self, given_id: bytes, body: bytes) -> "bytes | Inquiry | None":
        """Return the response after its status line, or what may come to be one, or None for the route to serve it all.

        Args:
            given_id: the header `X-Request-Id` of a request whose head suits; empty if it has none.
            body: all of its body.
        """
        started = self._clock()
        if self._served.phase is not _READY or len(body) > self._max_body_bytes:
            return None
        model = self._served.loaded
        digests = self._digests(body, model)
        if not digests:
            return None
        predictions = model.predictor.known(digests)
        if predictions is None:
            return Inquiry(self, model, digests, given_id, started)
        return self.write(model, predictions, len(predictions), given_id, started)

    @property
    def open(self) -> bool:
        """Whether the process takes traffic."""
        return self._served.phase is _READY

    def write(
        self, model: LoadedModel, predictions: Sequence[Prediction], l1: int, given_id: bytes, started: float
    ) -> bytes:
        """Count an answer, of whose texts L1 held so many and L2 the others, and return it after its status line."""
        joined, length = write_known(predictions, model.answering)
        l2 = len(predictions) - l1
        truncated = self._accounting.known_texts(predictions, l1, l2)
        seconds = self._clock() - started
        self._accounting.request(_OK, seconds)
        return _RESPONSE % (
            length,
            l1,
            l2,
            seconds * _MS,
            model.digest_header[1],
            _TRUNCATED % truncated if truncated else b"",
            self._request_ids.choose(given_id),
            joined,
        )

    def _digests(self, body: bytes, model: LoadedModel) -> Digests | None:
        """Return the digests of a body's texts, None if anything is wrong with it."""
        digests = self._bodies.get(body)
        if digests is None:
            try:
                digests = self._read(body, model.predictor)
            except Exception:  # noqa: BLE001  whatever it is, the route meets it again and finds words for it
                return None
            self._bodies.put(body, digests)
        return digests

    def _read(self, body: bytes, predictor: Predictor) -> Digests:
        """Digest the texts of a body.

        Raises:
            Exception: something is wrong with it.
        """
        fold = predictor.ascii_fold
        if fold and len(body) <= self._plain_bytes:
            forms = read_forms(body, fold)
            if forms and len(forms) <= self._limits.texts:
                return predictor.digest_forms(forms)
        return predictor.query(read_texts(body, self._limits).items).digests


class Inquiry:
    """A request that L1 alone cannot answer.

    Attributes:
        started: when the request was taken up.
        found: what the cache holds of its texts; nothing until L2 was asked.
    """

    __slots__ = ("_digests", "_fast_path", "_given_id", "_model", "found", "started")

    def __init__(
        self, fast_path: FastPath, model: LoadedModel, digests: Digests, given_id: bytes, started: float
    ) -> None:
        """Keep what the answer needs; nothing is asked yet."""
        self._fast_path = fast_path
        self._model = model
        self._digests = digests
        self._given_id = given_id
        self.started = started
        self.found: Found | None = None

    def begin(self, on_end: Callable[[], None]) -> bool:
        """Look up in both tiers, and call back when that is done: soon, never synchronously.

        Returns:
            Whether that will happen; if not, the route must serve the request.
        """

        def deliver(found: Found) -> None:
            self.found = found
            on_end()

        return self._model.predictor.look_up(self._digests, deliver)

    def response(self) -> bytes | None:
        """Return the response after its status line; None if the route must serve the request, with what was found."""
        found = self.found
        if found is None or not self._fast_path.open:
            return None
        if found.l2 is not None and all(found.l2):
            # L1 held none of them: what it holds, L2 is not asked for.
            known = cast("Sequence[Prediction]", found.l2)
            return self._fast_path.write(self._model, known, 0, self._given_id, self.started)
        predictions = []
        l1 = 0
        for own, other in zip(found.l1, found.l2 or found.l1, strict=True):
            if own is not None:
                l1 += 1
                predictions.append(own)
            elif other is not None:
                predictions.append(other)
            else:
                return None
        return self._fast_path.write(self._model, predictions, l1, self._given_id, self.started)


def fast_paths(app: Application) -> dict[bytes, FastPath]:
    """Return what may answer the predictions of an application, by target: nothing with tracing or a limit for clients.

    Both are about each request, whether its texts are known or not. Only the native dialect is written here.
    """
    paths = {}
    for mount in app.mounts:
        # A body's digests are those of one model.
        bodies = KnownBodies(secrets.token_bytes(16))
        for name, route in mount.predictions.items():
            parts = route.parts
            if app.tracing or parts.client_limit.active or not isinstance(route.dialect, NativeDialect):
                continue
            paths[f"{mount.served.root}/{name}".encode()] = FastPath(
                limits=parts.config.limits,
                max_body_bytes=parts.config.max_body_bytes,
                served=mount.served,
                bodies=bodies,
                accounting=parts.accounting,
                request_ids=parts.request_ids,
                cross_origin=app.cross_origin,
                clock=parts.clock,
            )
    return paths
