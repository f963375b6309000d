"""Why Redis did not do what it was asked: an error reply, silence, or no connection."""

import re
from typing import Final, Literal, NamedTuple, Self

from redis.exceptions import AuthenticationError, BusyLoadingError, InvalidResponse, RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

_CODE: Final = re.compile(r"[A-Z]{3,32}\b")
_ROLE_CODES: Final = frozenset({"READONLY", "MASTERDOWN"})


def refusal_code(error: object) -> str | None:
    """Return the code of the error reply that an exception stands for, such as `READONLY`; None if it stands for none.

    Codes are the first word of a reply (https://redis.io/docs/latest/develop/reference/protocol-spec/, "Simple
    errors"). A connection that Redis refused for want of room is no reply to a command, and has none.
    """
    # redis-py makes connection errors of LOADING and of what concerns the password.
    if not isinstance(error, ResponseError | AuthenticationError | BusyLoadingError):
        return None
    found = _CODE.match(error.status_code or str(error))
    return found[0] if found else "ERR"


class Failure(NamedTuple):
    """Why one operation failed.

    Attributes:
        result: the word for it in the metrics.
        reason: a few words for anyone to read: no address, no name, nothing that Redis wrote but the code.
        detail: all that is known, for the log.
        new_role: whether the server is a replica. It may have been the primary when the connection was made.
    """

    result: Literal["refused", "timeout", "error"]
    reason: str
    detail: str
    new_role: bool = False

    @classmethod
    def of(cls, error: object) -> Self:
        """Describe what an operation raised, or what stood in its reply."""
        code = refusal_code(error)
        if isinstance(error, RedisError) and code is not None:
            # Of the codes that redis-py knows it makes exceptions, and takes them out of the text.
            said = f"{error.status_code} {error}" if error.status_code else str(error)
            return cls("refused", f"refused ({code})", said, code in _ROLE_CODES)
        detail = f"{type(error).__name__}: {error}"
        if isinstance(error, RedisTimeoutError | TimeoutError):
            return cls("timeout", "no answer in time", detail)
        is_reply = isinstance(error, InvalidResponse) or not isinstance(error, Exception)
        return cls("error", "not a Redis" if is_reply else "no connection", detail)
