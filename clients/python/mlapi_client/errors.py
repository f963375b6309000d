"""Everything that a call can end with beside its answer.

::

    MlapiError
    ├── ApiError                  the service refused; what its problem document says
    │   ├── BadRequestError       400, 405, 408, 414, 415, 431
    │   ├── UnauthorizedError     401
    │   ├── ForbiddenError        403
    │   ├── NotFoundError         404
    │   ├── ModelMismatchError    409: another model is served than the one asked for
    │   ├── TooLargeError         413
    │   ├── InvalidRequestError   422: `violations` names each bad text
    │   ├── RateLimitedError      429
    │   ├── UnavailableError      502, 503, 504
    │   └── ServerError           500 and others
    ├── ConnectionFailedError     no connection, or it broke
    ├── TimedOutError             no whole answer in time
    └── UnexpectedAnswerError     an answer, but none of this service
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Violation:
    """One thing that is wrong with a request.

    Attributes:
        pointer: where, as a JSON pointer (RFC 6901) into the body that was sent.
        detail: what.
        text: the number of the text among those of the call; None: it is about no single one.
    """

    pointer: str
    detail: str
    text: int | None = None


@dataclass(frozen=True, slots=True)
class Problem:
    """What a refusal says: a problem document (RFC 9457) and the headers beside it.

    Attributes:
        status: the HTTP status.
        code: stable, for programs; empty if it was not this service that refused, but something before it.
        title: the kind of problem, in words.
        detail: what is wrong, in words.
        request_id: by which the service's log knows the request.
        retryable: whether the same request may succeed later.
        retry_after_s: seconds until it is worth trying again; None if that was not said.
        violations: each bad item.
        violated_policies: the quotas that the request would exceed.
        model_digest: which model is served, where that is what the refusal is about.
    """

    status: int
    code: str = ""
    title: str = ""
    detail: str = ""
    request_id: str = ""
    retryable: bool = False
    retry_after_s: float | None = None
    violations: Sequence[Violation] = ()
    violated_policies: Sequence[str] = ()
    model_digest: str = ""


class MlapiError(Exception):
    """The root of the tree."""

    retryable = False
    """Whether the same request may succeed later."""


class ApiError(MlapiError):
    """The service refused.

    Attributes:
        problem: what it said.
        text: the number, from 0, of the text among those of the call that this is about; None: of no single one.
    """

    def __init__(self, problem: Problem, text: int | None = None) -> None:
        """Describe a refusal."""
        about = f" (text {text})" if text is not None else ""
        named = f", request {problem.request_id}" if problem.request_id else ""
        code = f" {problem.code}" if problem.code else ""
        words = problem.detail or problem.title or "no reason was given"
        super().__init__(f"{problem.status}{code}: {words}{about}{named}")
        self.problem = problem
        self.text = text
        self.retryable = problem.retryable

    @property
    def status(self) -> int:
        """The HTTP status."""
        return self.problem.status

    @property
    def code(self) -> str:
        """The stable code of the problem, for programs."""
        return self.problem.code

    @property
    def request_id(self) -> str:
        """The id by which the service's log knows the request."""
        return self.problem.request_id

    @property
    def retry_after_s(self) -> float | None:
        """Seconds until it is worth trying again, if the service said so."""
        return self.problem.retry_after_s

    @property
    def violations(self) -> Sequence[Violation]:
        """Each bad item, if the service named them."""
        return self.problem.violations


class BadRequestError(ApiError):
    """The service found a fault in the request: the same one would be refused again."""


class UnauthorizedError(ApiError):
    """An API key is needed, or the one given is not valid."""


class ForbiddenError(ApiError):
    """The API key does not allow this."""


class NotFoundError(ApiError):
    """There is no such route: the URL of the model is wrong, or the service has no feedback."""


class ModelMismatchError(ApiError):
    """Another model is served than the one that was asked for; `problem.model_digest` says which."""


class TooLargeError(ApiError):
    """A single text, or its body, is larger than the service accepts."""


class InvalidRequestError(ApiError):
    """The service does not take one of the texts: it is empty, too long, or no text; `violations` says which."""


class RateLimitedError(ApiError):
    """The caller has used up its share or its quota."""


class UnavailableError(ApiError):
    """The service is overloaded or stopping, or a gateway does not reach it."""


class ServerError(ApiError):
    """The service failed."""


class ConnectionFailedError(MlapiError):
    """There is no connection, or it broke."""

    retryable = True


class TimedOutError(MlapiError):
    """The whole answer did not come in time."""

    retryable = True


class UnexpectedAnswerError(MlapiError):
    """Something answered, and it is not this service in a version that this client knows."""


_BY_STATUS: Final[Mapping[int, type[ApiError]]] = {
    401: UnauthorizedError,
    403: ForbiddenError,
    404: NotFoundError,
    409: ModelMismatchError,
    413: TooLargeError,
    422: InvalidRequestError,
    429: RateLimitedError,
    502: UnavailableError,
    503: UnavailableError,
    504: UnavailableError,
}

_FIRST_SERVER_STATUS: Final = 500


def api_error(problem: Problem, text: int | None = None) -> ApiError:
    """Return a refusal as the exception of its kind."""
    other = ServerError if problem.status >= _FIRST_SERVER_STATUS else BadRequestError
    return _BY_STATUS.get(problem.status, other)(problem, text)
