"""Answers a prediction without a task, in the bytes of the ordinary way, when the cache holds all of its texts."""

import secrets
from collections.abc import Callable, Mapping, Sequence
from typing import Final, cast

from mlapi.access.gate import Gate
from mlapi.api.accounting import Accounting
from mlapi.api.answer_headers import known_head
from mlapi.api.application import Application
from mlapi.api.client_limit import ClientLimit, client_name
from mlapi.api.headers import PLAIN_JSON, RequestIds
from mlapi.api.lifecycle import Phase
from mlapi.api.served_model import LoadedModel, ServedModel
from mlapi.dialects.base import TextLimits
from mlapi.dialects.native import FRAME, FRAME_BYTES, NativeDialect
from mlapi.dialects.native_body import read_texts
from mlapi.errors import RateLimitedError
from mlapi.observability.tracing import Spans
from mlapi.predictions import Found, Prediction
from mlapi.predictor import Predictor
from mlapi.server.known_bodies import Digests, KnownBodies, digests_size
from mlapi.server.plain_bodies import MAX_BODY_BYTES, read_forms
from mlapi.server.requests import Caller

# Looked up once: on Python 3.11 a member of an enumeration costs a microsecond each time it is named.
_READY: Final = Phase.READY

_VALUES: Final = ("length", "l1", "l2", "milliseconds", "digest", "truncated", "request_id")
"""What `FastPath.write` fills into the headers, in this order."""

_MS: Final = 1e3

_OK: Final = 200


class FastPath:
    """The short way through one prediction route.

    It serves what nearly every request is: valid and without special wishes. All else is left to the route, which
    begins anew: until it has an answer, the short way neither counts nor changes anything.
    """

    def __init__(
        self,
        *,
        limits: TextLimits,
        max_body_bytes: int,
        served: ServedModel,
        bodies: KnownBodies[Digests],
        accounting: Accounting,
        request_ids: RequestIds,
        cross_origin: bool,
        client_limit: ClientLimit,
        client_header: bytes,
        gate: Gate | None,
        spans: Spans | None,
        clock: Callable[[], float],
    ) -> None:
        """Wire the parts.

        Args:
            limits: what a request may hold.
            max_body_bytes: how long a body may be.
            served: the model.
            bodies: those that came before.
            accounting: counts what is answered.
            request_ids: gives every request an id.
            cross_origin: whether pages of other origins get more headers.
            client_limit: how much one client may send.
            client_header: what names the client, in lower case; empty: its address.
            gate: lets requests in by their API keys; None: everybody is let in.
            spans: where answers are traced; None: nowhere.
            clock: monotonic seconds.
        """
        self._limits = limits
        # No text is longer than the body that holds it.
        self._plain_bytes = min(MAX_BODY_BYTES, limits.chars)
        self._max_body_bytes = max_body_bytes
        self._served = served
        self._lifecycle = served.lifecycle
        self._bodies = bodies
        self._accounting = accounting
        self._request_ids = request_ids
        self._cross_origin = cross_origin
        self._client_limit = client_limit if client_limit.active else None
        self._client_header = client_header
        self._gate = gate
        self._accounts = gate.accounts if gate else None
        self._limited = client_limit.active or gate is not None
        self._spans = spans
        self._clock = clock
        head = known_head(_VALUES)
        self._response = head.format + FRAME
        self._truncated = head.lines["truncated"]

    def suits(self, headers: Mapping[bytes, bytes]) -> bool:
        """Tell whether a head wishes for nothing but an answer.

        Args:
            headers: the request's headers by their names in lower case; of a POST without a query string.
        """
        return (
            headers.get(b"content-type", b"") in PLAIN_JSON
            and b"cache-control" not in headers
            and b"content-encoding" not in headers
            and b"model-digest" not in headers
            and not (self._cross_origin and b"origin" in headers)
        )

    def caller(self, headers: Mapping[bytes, bytes]) -> Caller:
        """Return what a head that suits says of who asks."""
        value = headers.get
        grant = self._gate.peek(headers, self._served.name, "predict") if self._gate else None
        return Caller(
            value(b"x-request-id", b""),
            value(self._client_header, b""),
            value(b"traceparent", b""),
            grant,
            self._accounts.of(grant) if self._accounts and grant else None,
        )

    def answer(self, caller: Caller, body: bytes, peer: str) -> "bytes | Inquiry | None":
        """Return the response after its status line, or what may come to be one, or None for the route to serve it all.

        Args:
            caller: from the request's head.
            body: all of its body.
            peer: the caller's address.
        """
        started = self._clock()
        if self._gate is not None and (caller.grant is None or not self._gate.holds(caller.grant)):
            return None
        if self._lifecycle.phase is not _READY or len(body) > self._max_body_bytes:
            return None
        model = self._served.loaded
        digests = self._bodies.get(body) or self._digests(body, model)
        if not digests:
            return None
        predictions = model.predictor.known(digests)
        if predictions is None:
            return Inquiry(self, model, digests, caller, peer=peer, started=started)
        if self._limited and not self.within_limit(caller, peer, len(predictions)):
            return None
        return self.write(model, predictions, len(predictions), caller, started)

    @property
    def open(self) -> bool:
        """Whether the process takes traffic."""
        return self._lifecycle.phase is _READY

    def within_limit(self, caller: Caller, peer: str, texts: int) -> bool:
        """Charge a client for so many texts; False if it has sent too much, for which the route finds the words."""
        account, accounts = caller.account, self._accounts
        # A charge that Redis has to decide needs a task, and so the route.
        if account is not None and accounts is not None and not accounts.spend(account, texts):
            return False
        if self._client_limit is not None:
            try:
                client = account.key_id if account else client_name(caller.client, peer)
                self._client_limit.check(client, texts)
            except RateLimitedError:
                if account is not None and accounts is not None:
                    accounts.unspend(account, texts)
                return False
        if account is not None:
            account.answered.value += texts
        return True

    def write(
        self, model: LoadedModel, predictions: Sequence[Prediction], l1: int, caller: Caller, started: float
    ) -> bytes:
        """Record a hit (`l1` texts from L1, the rest from L2) and return the response without its status line."""
        joined = model.answering.ranked.join(predictions)
        l2 = len(predictions) - l1
        truncated = self._accounting.known_texts(predictions, l1, l2)
        seconds = self._clock() - started
        self._accounting.request(_OK, seconds)
        if self._spans is not None:
            self._spans.record(caller.trace, seconds)
        return self._response % (
            len(joined) + FRAME_BYTES,
            l1,
            l2,
            seconds * _MS,
            model.digest,
            self._truncated % truncated if truncated else b"",
            self._request_ids.choose(caller.given_id),
            joined,
        )

    def _digests(self, body: bytes, model: LoadedModel) -> Digests | None:
        """Read a body that is not known and return the digests of its texts, None if anything is wrong with it."""
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

    __slots__ = ("_caller", "_digests", "_fast_path", "_model", "_peer", "found", "started")

    def __init__(
        self,
        fast_path: FastPath,
        model: LoadedModel,
        digests: Digests,
        caller: Caller,
        *,
        peer: str,
        started: float,
    ) -> None:
        """Keep what the answer needs; nothing is asked yet."""
        self._fast_path = fast_path
        self._model = model
        self._digests = digests
        self._caller = caller
        self._peer = peer
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
        predictions, l1 = found.l2, 0
        # Where L2 holds all, L1 held none: what it holds, L2 is not asked for.
        if predictions is None or not all(predictions):
            predictions = found.l1
            l1 = len(predictions) - predictions.count(None)
            if found.l2 is not None:
                predictions = [own or other for own, other in zip(predictions, found.l2, strict=True)]
            if not all(predictions):
                return None
        fast_path, caller = self._fast_path, self._caller
        known = cast("Sequence[Prediction]", predictions)
        if not fast_path.within_limit(caller, self._peer, len(known)):
            return None
        return fast_path.write(self._model, known, l1, caller, self.started)


def fast_paths(app: Application) -> dict[bytes, FastPath]:
    """Return what may answer the predictions of an application, by target. Only the native dialect is written here."""
    paths = {}
    for mount in app.mounts:
        # A body's digests are those of one model.
        bodies = KnownBodies(secrets.token_bytes(16), digests_size)
        for name, route in mount.predictions.items():
            parts = route.parts
            if not isinstance(route.dialect, NativeDialect):
                continue
            target = f"{mount.served.root}/{name}"
            paths[target.encode()] = FastPath(
                limits=parts.config.limits,
                max_body_bytes=parts.config.max_body_bytes,
                served=mount.served,
                bodies=bodies,
                accounting=parts.accounting,
                request_ids=parts.request_ids,
                cross_origin=app.cross_origin,
                client_limit=parts.client_limit,
                client_header=parts.config.client_header,
                gate=parts.gate,
                spans=Spans(target) if app.tracing else None,
                clock=parts.clock,
            )
    return paths
