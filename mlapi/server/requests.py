"""Reads heads, and remembers those that came before: most callers send the same over and over."""

import re
import secrets
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Final, NamedTuple, Protocol

from mlapi.access.accounts import Account
from mlapi.access.keyring import Grant
from mlapi.api.headers import SANE_REQUEST_ID
from mlapi.errors import HeadersTooLargeError, InvalidHttpError, UriTooLongError
from mlapi.predictions import Found
from mlapi.server.heads import END, MAX_TARGET_BYTES, Head, read_head

_KNOWN_HEADS: Final = 1024
"""Of one caller there are as many as there are lengths of a body."""

MAX_KNOWN_BYTES: Final = 1024
"""Longer heads are not remembered: with as many as there may be, and what was read from them, some 3 MB are taken."""

_ID_LINE: Final = b"\r\nx-request-id: "
_ID_PART: Final = b"equest-"
_ID_AT: Final = _ID_LINE.index(_ID_PART)
"""Of the header that a proxy gives another value each time, what Envoy, nginx and programs in Go spell alike."""

_ANY_ID: Final = secrets.token_hex(16).encode()
"""Stands for the value that was taken out of a head; nobody can send it."""

_BEGINNING: Final = re.compile(rb"[A-Z-]{1,24}(?: |\Z)")
"""What every request begins with; callers who speak TLS or SSH wait for an answer to less than a head."""

_NEVER: Final = -2


class Pending(Protocol):
    """A request whose answer takes a look-up; see `mlapi.server.fast_path.Inquiry`."""

    started: float
    found: Found | None

    def begin(self, on_end: Callable[[], None]) -> bool:
        """Look up, and call back soon; return whether that will happen."""

    def response(self) -> bytes | None:
        """Return the response after its status line, if there is one."""


class Caller(NamedTuple):
    """What a head says of who asks: raw values of headers, empty where absent.

    Attributes:
        given_id: `X-Request-Id`.
        client: the header that names the client for the limit.
        trace: `traceparent` (W3C Trace Context).
        grant: what the API key allows; None: nothing, or there are no keys.
        account: what the key has spent.
    """

    given_id: bytes = b""
    client: bytes = b""
    trace: bytes = b""
    grant: Grant | None = None
    account: Account | None = None


class Choosy(Protocol):
    """What answers some of the requests for a target without a task; see `mlapi.server.fast_path.FastPath`."""

    def suits(self, headers: Mapping[bytes, bytes]) -> bool:
        """Tell whether a head, of a POST with a length, asks for nothing but an answer."""

    def caller(self, headers: Mapping[bytes, bytes]) -> Caller:
        """Return what a head says of who asks."""

    def answer(self, caller: Caller, body: bytes, peer: str) -> bytes | Pending | None:
        """Return the response after its status line, or what may come to be one; `peer` is the caller's address."""


_NOBODY: Final = Caller()


class Request(NamedTuple):
    """A head, and what may answer it without a task: a tuple, because one may be made for each request.

    Attributes:
        remembered: what a parser read; perhaps of a head that had another id.
        fast_path: what may answer; None: only the application.
        caller: who asks, as far as the fast path needs to know.
        short_bytes: how long the body is, if there is a fast path; else no length that a body has.
        given_id: `X-Request-Id`, if `remembered` has another one.
    """

    remembered: Head
    fast_path: Choosy | None
    caller: Caller
    short_bytes: int
    given_id: bytes = b""

    @property
    def head(self) -> Head:
        """The head itself."""
        read, given = self.remembered, self.given_id
        if not given:
            return read
        return read._replace(headers=[(name, given if value == _ANY_ID else value) for name, value in read.headers])


class Requests:
    """Reads the heads of all connections of a server.

    Attributes:
        known: `read`, with what it returned for the last heads; each is known by all of its bytes.
        forget: makes every head be read anew, since what it says of its sender has another meaning now.
    """

    def __init__(self, fast_paths: Mapping[bytes, Choosy], max_head_bytes: int) -> None:
        self._fast_paths = fast_paths
        self._max_head_bytes = max_head_bytes
        self.known = lru_cache(_KNOWN_HEADS)(self.read)
        self.forget = self.known.cache_clear

    def find(self, data: bytes, start: int) -> tuple[Request, int] | None:
        """Return the request whose head begins somewhere in `data`, and where the head ends; None if it does not yet.

        Raises:
            MlapiError: it is none, or none that is served.
        """
        end = data.find(END, start) + len(END)
        whole = end >= len(END)
        most = self._max_head_bytes
        if (end if whole else len(data)) - start > most:
            if data.find(b"\n", start, start + most) < 0:
                msg = f"a target may have {MAX_TARGET_BYTES} bytes"
                raise UriTooLongError(msg)
            msg = f"a head may have {most} bytes"
            raise HeadersTooLargeError(msg)
        if whole:
            read = self.recognise if end - start <= MAX_KNOWN_BYTES else self.read
            return read(data[start:end]), end
        if not _BEGINNING.match(data, start):
            msg = "this is not the beginning of a request in HTTP/1.1"
            raise InvalidHttpError(msg)
        return None

    def recognise(self, data: bytes) -> Request:
        """Read a head, or remember one that differed from it by its `X-Request-Id` at most.

        Raises:
            MlapiError: as `read`.
        """
        at = data.find(_ID_PART) - _ID_AT
        start = at + len(_ID_LINE)
        if at < 0 or data[at:start].lower() != _ID_LINE:
            return self.known(data)
        end = data.find(b"\r\n", start)
        given = data[start:end]
        if not SANE_REQUEST_ID.fullmatch(given):
            return self.known(data)
        head, fast_path, caller, size, _ = self.known(b"%b%b%b" % (data[:start], _ANY_ID, data[end:]))
        if fast_path is not None:
            effective, client, trace, grant, account = caller
            if effective != _ANY_ID or client == _ANY_ID:
                return self.read(data)
            caller = Caller(given, client, trace, grant, account)
        return Request(head, fast_path, caller, size, given)

    def read(self, data: bytes) -> Request:
        """Read a head.

        Raises:
            MlapiError: it is none, or none that is served.
        """
        head = read_head(data)
        fast_path = self._fast_paths.get(head.target)
        if (
            fast_path is None
            or head.method != b"POST"
            or not head.keep_alive
            or head.body_bytes <= 0
            or head.expects_continue
        ):
            return Request(head, None, _NOBODY, _NEVER)
        fields = dict(head.headers)
        if not fast_path.suits(fields):
            return Request(head, None, _NOBODY, _NEVER)
        return Request(head, fast_path, fast_path.caller(fields), head.body_bytes)
