"""Every way in which the service refuses or fails, each with its stable code and HTTP status.

::

    MlapiError
    ├── RequestError                 the caller must change something
    │   ├── InvalidHttpError         400 invalid_http
    │   ├── MalformedJsonError       400 invalid_json
    │   ├── ContentEncodingError     400 invalid_content_encoding
    │   ├── InvalidModelDigestError  400 invalid_model_digest
    │   ├── UnauthorizedError        401 unauthorized
    │   ├── ForbiddenError           403 forbidden
    │   ├── ForeignFormError         403 foreign_form
    │   ├── NotFoundError            404 not_found
    │   ├── MethodNotAllowedError    405 method_not_allowed
    │   ├── HeadTimeoutError         408 head_timeout
    │   ├── BodyTimeoutError         408 body_timeout
    │   ├── ModelMismatchError       409 model_mismatch
    │   ├── PayloadTooLargeError     413 payload_too_large
    │   ├── BatchTooLargeError       413 batch_too_large
    │   ├── UriTooLongError          414 uri_too_long
    │   ├── UnsupportedMediaError    415 unsupported_media_type
    │   ├── UnsupportedEncodingError 415 unsupported_content_encoding
    │   ├── InvalidRequestError      422 invalid_request (names each bad item)
    │   ├── TextTooLongError         422 text_too_long (`truncate=false`, names each item)
    │   ├── UpgradeRequiredError     426 upgrade_required
    │   ├── HeadersTooLargeError     431 headers_too_large
    │   ├── RateLimitedError         429 rate_limited
    │   ├── TooManyVotesError        429 too_many_votes
    │   └── QuotaExceededError       429 quota_exceeded
    ├── RefusalError                 the same request may succeed later or elsewhere
    │   ├── OverloadedError          503 overloaded
    │   ├── DrainingError            503 draining
    │   ├── FeedbackUnavailableError 503 feedback_unavailable
    │   ├── DeadlineExceededError    504 deadline_exceeded
    │   └── NotCachedError           504 not_cached (`only-if-cached`)
    ├── InternalError                500 internal_error
    │   └── EngineError              500 engine_error
    └── ConfigurationError           stops the start; never reaches a client
        └── BundleError              a model bundle that is missing, damaged or not usable here
"""

from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import ClassVar, Final

EMPTY: Final = "is empty"
"""What is said of a text with nothing in it, and of a list without texts: some protocols have a type for it."""


@dataclass(frozen=True, slots=True)
class Violation:
    """One thing that is wrong with a request: where (an RFC 6901 JSON pointer into the body) and what."""

    pointer: str
    detail: str


@dataclass(frozen=True, slots=True)
class TextFault:
    """One text that cannot be answered: its index among the request's texts, and what is wrong with it."""

    index: int
    detail: str


class MlapiError(Exception):
    """The root of the tree; `detail` is safe to show to a client.

    What knows the body names faults by `violations`; what knows only the texts names them by `faults`, which the HTTP
    edge turns into violations.
    """

    code: ClassVar[str] = "internal_error"
    status: ClassVar[HTTPStatus] = HTTPStatus.INTERNAL_SERVER_ERROR
    title: ClassVar[str] = "The service failed"
    retryable: ClassVar[bool] = False
    problem_type: ClassVar[str] = ""
    """A registered type of problem document (RFC 9457, section 4.2), for errors that have one."""

    def __init__(
        self,
        detail: str,
        *,
        violations: Sequence[Violation] = (),
        faults: Sequence[TextFault] = (),
        retry_after_s: int | None = None,
        headers: Sequence[tuple[str, str]] = (),
        policies: Sequence[str] = (),
    ) -> None:
        """Describe the failure.

        Args:
            detail: what is wrong, in words that a client may see.
            violations: which parts of the request are wrong.
            faults: which texts are wrong, where the body is not known.
            retry_after_s: whole seconds, at least 1, after which the same request may succeed.
            headers: response header fields, names in lower case, that say what would be accepted instead.
            policies: names of the quota policies that the request would violate.
        """
        super().__init__(detail)
        self.detail = detail
        self.violations = tuple(violations)
        self.faults = tuple(faults)
        self.retry_after_s = retry_after_s
        self.headers = tuple(headers)
        self.policies = tuple(policies)


class RequestError(MlapiError):
    """The caller must change the request."""

    code = "bad_request"
    status = HTTPStatus.BAD_REQUEST
    title = "The request cannot be served as it is"


class InvalidHttpError(RequestError):
    """It is no request in HTTP/1.1, or one that two readers could read in two ways; the connection is closed."""

    code = "invalid_http"
    title = "The request is not valid HTTP"


class MalformedJsonError(RequestError):
    """The body is not JSON in UTF-8."""

    code = "invalid_json"
    title = "The body is not valid JSON"


class ContentEncodingError(RequestError):
    """The body is not what its `Content-Encoding` says."""

    code = "invalid_content_encoding"
    title = "The body cannot be decoded"


class InvalidModelDigestError(RequestError):
    """The request names the model that it wants by something that is no digest."""

    code = "invalid_model_digest"
    title = "The header Model-Digest is not a model digest"


class UnauthorizedError(RequestError):
    """The request has no API key that is known here."""

    code = "unauthorized"
    status = HTTPStatus.UNAUTHORIZED
    title = "An API key is needed"


class ForbiddenError(RequestError):
    """The request's API key does not allow it."""

    code = "forbidden"
    status = HTTPStatus.FORBIDDEN
    title = "The API key does not allow this"


class ForeignFormError(RequestError):
    """A form that another site's page has sent."""

    code = "foreign_form"
    status = HTTPStatus.FORBIDDEN
    title = "This form is not taken from another site"


class NotFoundError(RequestError):
    """No such route."""

    code = "not_found"
    status = HTTPStatus.NOT_FOUND
    title = "There is nothing here"


class MethodNotAllowedError(RequestError):
    """The route exists, the method does not."""

    code = "method_not_allowed"
    status = HTTPStatus.METHOD_NOT_ALLOWED
    title = "This route does not serve that method"


class HeadTimeoutError(RequestError):
    """The request's head did not arrive in time."""

    code = "head_timeout"
    status = HTTPStatus.REQUEST_TIMEOUT
    title = "The request's head did not arrive in time"
    retryable = True


class BodyTimeoutError(RequestError):
    """The body did not arrive in time."""

    code = "body_timeout"
    status = HTTPStatus.REQUEST_TIMEOUT
    title = "The body did not arrive in time"
    retryable = True


class ModelMismatchError(RequestError):
    """The request names the model that it wants, and another one is served here."""

    code = "model_mismatch"
    status = HTTPStatus.CONFLICT
    title = "Another model is served here"


class PayloadTooLargeError(RequestError):
    """The body has more bytes than the service accepts."""

    code = "payload_too_large"
    status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    title = "The body is too large"


class BatchTooLargeError(RequestError):
    """The request has more texts, or more tokens, than one request can ever have."""

    code = "batch_too_large"
    status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    title = "The batch is too large"


class UriTooLongError(RequestError):
    """The request's target is longer than the service reads."""

    code = "uri_too_long"
    status = HTTPStatus.REQUEST_URI_TOO_LONG
    title = "The request's target is too long"


class UpgradeRequiredError(RequestError):
    """The route speaks another protocol than HTTP."""

    code = "upgrade_required"
    status = HTTPStatus.UPGRADE_REQUIRED
    title = "This route speaks another protocol"


class HeadersTooLargeError(RequestError):
    """The request's headers are more, or longer, than the service reads."""

    code = "headers_too_large"
    status = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
    title = "The request's headers are too large"


class UnsupportedMediaError(RequestError):
    """The body is declared as something other than JSON in UTF-8."""

    code = "unsupported_media_type"
    status = HTTPStatus.UNSUPPORTED_MEDIA_TYPE
    title = "Only JSON in UTF-8 is accepted"


class UnsupportedEncodingError(RequestError):
    """The body is in a content coding that is not decoded here."""

    code = "unsupported_content_encoding"
    status = HTTPStatus.UNSUPPORTED_MEDIA_TYPE
    title = "This content coding is not accepted"


class InvalidRequestError(RequestError):
    """The body is JSON, but not the shape or the values that the route takes."""

    code = "invalid_request"
    status = HTTPStatus.UNPROCESSABLE_ENTITY
    title = "The request is not valid"


class TextTooLongError(RequestError):
    """A text has more tokens than the model reads, and the caller asked not to truncate."""

    code = "text_too_long"
    status = HTTPStatus.UNPROCESSABLE_ENTITY
    title = "A text is longer than the model reads"


class RateLimitedError(RequestError):
    """This client has used up its share."""

    code = "rate_limited"
    status = HTTPStatus.TOO_MANY_REQUESTS
    title = "Too many texts from this client"
    retryable = True


class TooManyVotesError(RequestError):
    """This subject has sent as many opinions as it may for now."""

    code = "too_many_votes"
    status = HTTPStatus.TOO_MANY_REQUESTS
    title = "Too many opinions from this subject"
    retryable = True


class QuotaExceededError(RequestError):
    """This API key has used up what it may ask for."""

    code = "quota_exceeded"
    status = HTTPStatus.TOO_MANY_REQUESTS
    title = "The quota of this API key is used up"
    retryable = True
    problem_type = "https://iana.org/assignments/http-problem-types#quota-exceeded"


class RefusalError(MlapiError):
    """The service cannot serve the request now; the same request may succeed later."""

    code = "unavailable"
    status = HTTPStatus.SERVICE_UNAVAILABLE
    title = "The service cannot serve this now"
    retryable = True


class OverloadedError(RefusalError):
    """More work is waiting than can be done in time."""

    code = "overloaded"
    title = "The service is overloaded"


class DrainingError(RefusalError):
    """The process is about to stop and takes no new work."""

    code = "draining"
    title = "This instance is shutting down"


class FeedbackUnavailableError(RefusalError):
    """The store of opinions is not there, or too slow; predictions do not need it."""

    code = "feedback_unavailable"
    title = "Opinions cannot be taken now"


class DeadlineExceededError(RefusalError):
    """The request's time budget ran out before its answer was complete."""

    code = "deadline_exceeded"
    status = HTTPStatus.GATEWAY_TIMEOUT
    title = "The deadline passed"


class NotCachedError(RefusalError):
    """`only-if-cached` was asked for and at least one text is not in the cache (RFC 9111, section 5.2.1.7)."""

    code = "not_cached"
    status = HTTPStatus.GATEWAY_TIMEOUT
    title = "Not in the cache"
    retryable = False


class InternalError(MlapiError):
    """Something broke that the caller cannot mend."""


class EngineError(InternalError):
    """The model failed, or answered with something that is not a probability."""

    code = "engine_error"
    title = "The model failed"
    retryable = True


class ConfigurationError(MlapiError):
    """The process cannot start as it is configured; the message says what to change."""


class BundleError(ConfigurationError):
    """A model bundle is missing, damaged, or not usable on this machine."""
