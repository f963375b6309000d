"""Documents the prediction routes: bodies, headers, examples and every problem they can answer with."""

from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any, Final, Protocol

import msgspec
from pydantic import BaseModel

from mlapi import errors
from mlapi.api.content_coding import ACCEPTED
from mlapi.dialects.base import Document, NamingDialect, Operation, Refusal

_DIGEST: Final = "0f343b0931126a20f133d67c2b018a3b"

_PROBLEMS: Final[tuple[tuple[type[errors.MlapiError], str], ...]] = (
    (errors.InvalidHttpError, "Content-Length is not one number"),
    (errors.MalformedJsonError, "JSON is malformed: invalid character (byte 9)"),
    (errors.ContentEncodingError, "the body is not gzip, as its Content-Encoding says, or is damaged"),
    (
        errors.InvalidModelDigestError,
        "Model-Digest is a model digest, 32 hexadecimal digits, or its first 12 or more",
    ),
    (errors.UnauthorizedError, "the API key is not valid"),
    (errors.ForbiddenError, "the API key is not for this model"),
    (errors.HeadTimeoutError, "the request's head was not complete in 10 s"),
    (errors.BodyTimeoutError, "the body was not complete in time"),
    (errors.ModelMismatchError, f"the model {_DIGEST} is served here, not 7a1d9c04be52"),
    (errors.PayloadTooLargeError, "a body may have 8388608 bytes"),
    (errors.BatchTooLargeError, "12000 texts; one request may hold 10000"),
    (errors.UriTooLongError, "a target may have 32768 bytes"),
    (errors.UnsupportedMediaError, "send the body as application/json"),
    (errors.UnsupportedEncodingError, f"send the body as it is, or in one of these content codings: {ACCEPTED}"),
    (errors.InvalidRequestError, ""),  # in the words of the dialect
    (errors.TextTooLongError, "1 of 2 texts are longer than the model reads"),
    (errors.RateLimitedError, "one client may send 100 texts per second"),
    (errors.QuotaExceededError, "the API key may ask for 200 texts per second"),
    (errors.HeadersTooLargeError, "a head may have 65536 bytes"),
    (errors.InternalError, "the service failed; the request id finds the reason in its log"),
    (errors.EngineError, "the model could not score this text"),
    (errors.OverloadedError, "more texts are waiting than can be scored in time"),
    (errors.DrainingError, "this instance is shutting down"),
    (errors.DeadlineExceededError, "the answer was not complete in time"),
    (errors.NotCachedError, "1 of the request's texts are not in the cache"),
)

_NO_SUCH_MODEL: Final[tuple[type[errors.MlapiError], str]] = (
    errors.NotFoundError,
    "the model another does not exist here",
)
"""What is answered where a body may name a model."""

_ELSEWHERE: Final[tuple[type[errors.MlapiError], ...]] = (
    errors.ForeignFormError,
    errors.NotFoundError,
    errors.MethodNotAllowedError,
    errors.FeedbackUnavailableError,
    errors.TooManyVotesError,
    errors.UpgradeRequiredError,
)
"""What only other paths and methods than those that are documented here answer with."""


def _header(description: str, example: str) -> dict[str, object]:
    return {"description": description, "schema": {"type": "string"}, "example": example}


REQUEST_ID_HEADER: Final = {"X-Request-Id": _header("The caller's, if it was sane, else a new one.", "3f9c0a7be1d2-1c")}

_SUCCESS_HEADERS: Final = {
    "Cache-Status": _header(
        "RFC 9211: `hit` if no text needed the model, `stored` if the cache keeps all that the model said.",
        'mlapi; hit; detail="l1=2 l2=0 collapsed=0 model=0"',
    ),
    "Server-Timing": _header(
        "Milliseconds in the cache, in the queue and in the model.",
        "cache;dur=0.210, queue;dur=0.080, model;dur=3.100",
    ),
    "Model-Digest": _header("Which model answered.", _DIGEST),
    "X-Truncated": _header("How many texts were cut to the model's maximum; absent if none.", "1"),
    **REQUEST_ID_HEADER,
}

_RETRY_AFTER: Final = {"Retry-After": _header("Seconds until it is worth trying again.", "2")}

CHALLENGE_HEADER: Final = {
    "WWW-Authenticate": _header(
        "How to ask instead (RFC 6750); where there are API keys.",
        'Bearer realm="mlapi", error="invalid_token"',
    )
}

_SECURITY: Final[Mapping[str, Mapping[str, str]]] = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "An API key, where the service has them."},
    "header": {
        "type": "apiKey",
        "in": "header",
        "name": "X-API-Key",
        "description": "The same.",
    },
}

_QUOTA: Final = {
    "RateLimit-Policy": _header(
        "The quotas of an API key: texts, and for how many seconds (draft-ietf-httpapi-ratelimit-headers-11); where it "
        "was a quota that refused.",
        '"burst";q=1000;w=5, "daily";q=2000000;w=86400',
    ),
    "RateLimit": _header("The quota that refused, how many texts it has left, and for how long.", '"burst";r=3;t=2'),
}

_ACCEPT_ENCODING: Final = {
    "Accept-Encoding": _header("What a body may be encoded in; absent if its media type was refused.", ACCEPTED)
}
_MORE_HEADERS: Final[Mapping[int, Mapping[str, object]]] = {
    errors.UnauthorizedError.status: CHALLENGE_HEADER,
    errors.ModelMismatchError.status: {"Model-Digest": _header("Which model is served.", _DIGEST)},
    errors.UnsupportedEncodingError.status: _ACCEPT_ENCODING,
    errors.RateLimitedError.status: {**_RETRY_AFTER, **_QUOTA},
    errors.RefusalError.status: _RETRY_AFTER,
}

_HEADER_PARAMETERS: Final = (
    {
        "name": "Cache-Control",
        "in": "header",
        "description": "`no-store` keeps the texts out of the cache; `only-if-cached` never asks the model.",
        "schema": {"type": "string", "enum": ["no-store", "only-if-cached", "no-cache"]},
    },
    {
        "name": "Content-Encoding",
        "in": "header",
        "description": f"What the body is encoded in, one of {ACCEPTED}; absent or `identity`: not encoded (RFC 9110). "
        "The limits on a body hold for what it decodes to, too.",
        "schema": {"type": "string", "enum": ["gzip", "deflate", "zstd", "identity"]},
    },
    {
        "name": "Model-Digest",
        "in": "header",
        "description": "The only model that may answer: its digest, or the first 12 or more digits of it. 409 if "
        "another one is served.",
        "schema": {"type": "string", "pattern": "^[0-9A-Fa-f]{12,32}$"},
        "example": _DIGEST,
    },
    {
        "name": "X-Request-Id",
        "in": "header",
        "description": "Echoed, if it is at most 128 plain characters.",
        "schema": {"type": "string"},
    },
)
"""What every dialect's route understands."""

_ANY_PARAMETERS: Final = _HEADER_PARAMETERS[1:]
"""The same of a route whose answers are not kept, and do not come from the cache."""


class Documented(Protocol):
    """What a route with texts says of itself."""

    @property
    def operation(self) -> Operation:
        """How it stands in OpenAPI."""

    def refuse(self, error: errors.MlapiError, request_id: str) -> Refusal:
        """Write an error."""


def prediction_responses(dialect: Documented) -> dict[int | str, dict[str, Any]]:
    """Describe all responses of a route with texts, by status; every refusal as the dialect writes it."""
    operation = dialect.operation
    responses: dict[int | str, dict[str, Any]] = {
        200: {
            "headers": {
                name: header
                for name, header in _SUCCESS_HEADERS.items()
                if operation.headers is None or name in operation.headers | REQUEST_ID_HEADER.keys()
            },
            "content": {
                "application/json": {"example": operation.response_example},
                **{kind: {"example": example} for kind, example in operation.answers.items()},
            },
        }
    }
    schema = {"$ref": f"#/components/schemas/{operation.problem.__name__}"}
    problems = (*_PROBLEMS, _NO_SUCH_MODEL) if isinstance(dialect, NamingDialect) else _PROBLEMS
    for kind, detail in problems:
        if kind in operation.never:
            continue
        error = kind(detail or operation.invalid)
        refusal = dialect.refuse(error, "d41d8cd98f00-1")
        response = responses.setdefault(
            refusal.status,
            {
                "description": kind.title,
                "headers": dict(REQUEST_ID_HEADER),
                "content": {refusal.media_type: {"schema": schema, "examples": {}}},
            },
        )
        response["headers"] |= _MORE_HEADERS.get(kind.status, {})
        example = {"summary": kind.code, "value": msgspec.json.decode(refusal.body)}
        response["content"][refusal.media_type]["examples"][kind.code] = example
    return responses


def prediction_extra(dialect: Documented) -> dict[str, Any]:
    """Describe the parameters and the body of a route with texts, which FastAPI does not parse itself."""
    operation = dialect.operation
    schema, _ = _schema(operation.request_model)
    content: dict[str, Any] = {"application/json": {"schema": schema, "examples": operation.request_examples}}
    content |= {kind: {"example": example} for kind, example in operation.media_types.items()}
    return {
        "parameters": [*operation.parameters, *(_HEADER_PARAMETERS if operation.headers is None else _ANY_PARAMETERS)],
        "requestBody": {"required": True, "content": content},
    }


def stream_responses() -> dict[int | str, dict[str, Any]]:
    """Describe all responses to a handshake, by status."""
    content = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    kinds: tuple[tuple[type[errors.MlapiError], Mapping[str, object]], ...] = (
        (errors.UnauthorizedError, CHALLENGE_HEADER),
        (errors.ForbiddenError, {}),
        (errors.ModelMismatchError, {"Model-Digest": _header("Which model is served.", _DIGEST)}),
        (errors.InvalidRequestError, {}),
        (errors.UpgradeRequiredError, {"Upgrade": _header("What is spoken here.", "websocket")}),
        (errors.DrainingError, _RETRY_AFTER),
    )
    return {
        HTTPStatus.SWITCHING_PROTOCOLS.value: {
            "headers": {"Model-Digest": _SUCCESS_HEADERS["Model-Digest"], **REQUEST_ID_HEADER}
        },
        **{
            int(kind.status): {
                "description": kind.title,
                "headers": {**REQUEST_ID_HEADER, **headers},
                "content": content,
            }
            for kind, headers in kinds
        },
    }


def document_responses(document: Document) -> dict[int | str, dict[str, Any]]:
    """Describe all responses of a GET route of a wire format, by status."""
    good: dict[str, Any] = {"headers": REQUEST_ID_HEADER}
    if document.response_model is not None:
        good["content"] = {"application/json": {"example": document.response_example}}
    content = {"application/json": {"schema": {"$ref": f"#/components/schemas/{document.problem.__name__}"}}}
    responses: dict[int | str, dict[str, Any]] = {
        200: good,
        401: {
            "description": errors.UnauthorizedError.title,
            "headers": {**REQUEST_ID_HEADER, **CHALLENGE_HEADER},
            "content": content,
        },
        403: {"description": errors.ForbiddenError.title, "headers": REQUEST_ID_HEADER, "content": content},
    }
    if document.ready:
        responses[503] = {
            "description": "No predictions are served.",
            "headers": {**REQUEST_ID_HEADER, **_RETRY_AFTER},
            "content": content,
        }
    return responses


def add_schemas(document: dict[str, Any], dialects: Iterable[Documented]) -> dict[str, Any]:
    """Add the schemas that the requests and refusals of all dialects, and the refusals of other routes, refer to."""
    components = document.setdefault("components", {})
    components["securitySchemes"] = _SECURITY
    # The empty one: whether keys are needed is a setting of the service.
    document["security"] = [{}, *({name: []} for name in _SECURITY)]
    shared = components.setdefault("schemas", {})
    for dialect in dialects:
        operation = dialect.operation
        shared |= _schema(operation.request_model)[1]
        schema, definitions = _schema(operation.problem)
        shared |= definitions | {operation.problem.__name__: schema}
    codes = sorted({error.code for error, _ in _PROBLEMS} | {error.code for error in _ELSEWHERE})
    shared["Problem"]["properties"]["code"]["enum"] = codes
    _share_refusals(document)
    return document


def _share_refusals(document: dict[str, Any]) -> None:
    """Write each refusal once, and refer to it from the routes: most of them refuse in the same words."""
    shared: dict[str, Any] = {}
    for operation in (operation for methods in document["paths"].values() for operation in methods.values()):
        for status, response in operation["responses"].items():
            if int(status) < HTTPStatus.BAD_REQUEST:
                continue
            (content,) = response["content"].values()
            base = name = f"{content['schema']['$ref'].rpartition('/')[2]}{status}"
            number = 1
            while shared.setdefault(name, response) != response:
                number += 1
                name = f"{base}_{number}"
            operation["responses"][status] = {"$ref": f"#/components/responses/{name}"}
    document["components"]["responses"] = dict(sorted(shared.items()))


def _schema(model: type[BaseModel]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return a model's JSON schema, and those that it refers to, which belong beside it."""
    schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
    return schema, schema.pop("$defs", {})
