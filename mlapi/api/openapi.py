"""Documents the prediction routes: bodies, headers, examples and every problem they can answer with."""

from collections.abc import Mapping
from typing import Any, Final

from mlapi import errors
from mlapi.api.content_coding import ACCEPTED
from mlapi.api.problems import MEDIA_TYPE, PROBLEM_CONTENT, problem_example
from mlapi.api.schemas import PredictRequest, Problem

_PROBLEMS: Final[tuple[tuple[type[errors.MlapiError], str], ...]] = (
    (errors.InvalidHttpError, "Content-Length is not one number"),
    (errors.MalformedJsonError, "JSON is malformed: invalid character (byte 9)"),
    (errors.ContentEncodingError, "the body is not gzip, as its Content-Encoding says, or is damaged"),
    (errors.HeadTimeoutError, "the request's head was not complete in 10 s"),
    (errors.BodyTimeoutError, "the body was not complete in time"),
    (errors.PayloadTooLargeError, "a body may have 8388608 bytes"),
    (errors.BatchTooLargeError, "12000 texts; one request may hold 10000"),
    (errors.UriTooLongError, "a target may have 32768 bytes"),
    (errors.UnsupportedMediaError, "send the body as application/json"),
    (errors.UnsupportedEncodingError, f"send the body as it is, or in one of these content codings: {ACCEPTED}"),
    (errors.InvalidRequestError, 'the body is not {"text": ["…"]}'),
    (errors.TextTooLongError, "1 of 2 texts are longer than the model reads"),
    (errors.RateLimitedError, "one client may send 100 texts per second"),
    (errors.HeadersTooLargeError, "a head may have 65536 bytes"),
    (errors.InternalError, "the service failed; the request id finds the reason in its log"),
    (errors.EngineError, "the engine failed"),
    (errors.OverloadedError, "the model has more to do than it can finish in time"),
    (errors.DrainingError, "this instance is shutting down"),
    (errors.DeadlineExceededError, "the answer was not complete in time"),
    (errors.NotCachedError, "1 of the request's texts are not in the cache"),
)

_ELSEWHERE: Final[tuple[type[errors.MlapiError], ...]] = (errors.NotFoundError, errors.MethodNotAllowedError)
"""What only paths and methods that are not documented here answer with."""

_REQUEST_EXAMPLES: Final = {
    "two texts": {"value": {"text": ["This movie was fantastic!", "Terrible waste of time"]}},
    "one text": {"value": {"text": "It wasn't bad at all."}},
}

_RESPONSE_EXAMPLE: Final = {
    "predictions": [
        [{"label": "POSITIVE", "score": 0.7127904295921326}, {"label": "NEGATIVE", "score": 0.2872096002101898}]
    ]
}


def _header(description: str, example: str) -> dict[str, object]:
    return {"description": description, "schema": {"type": "string"}, "example": example}


REQUEST_ID_HEADER: Final = {"X-Request-Id": _header("The caller's, if it was sane, else a new one.", "3f9c0a7be1d2-1c")}

_SUCCESS_HEADERS: Final = {
    "Cache-Status": _header(
        "RFC 9211: `hit` if no text needed the model.", 'mlapi; hit; detail="l1=2 l2=0 collapsed=0 model=0"'
    ),
    "Server-Timing": _header(
        "Milliseconds in the cache, in the queue and in the model.",
        "cache;dur=0.210, queue;dur=0.080, model;dur=3.100",
    ),
    "Model-Digest": _header("Which model answered.", "0f343b0931126a20f133d67c2b018a3b"),
    "X-Truncated": _header("How many texts were cut to the model's maximum; absent if none.", "1"),
    **REQUEST_ID_HEADER,
}

_RETRY_AFTER: Final = {"Retry-After": _header("Seconds until it is worth trying again.", "2")}

_ACCEPT_ENCODING: Final = {
    "Accept-Encoding": _header("What a body may be encoded in; absent if its media type was refused.", ACCEPTED)
}
_MORE_HEADERS: Final[Mapping[int, Mapping[str, object]]] = {
    errors.UnsupportedEncodingError.status: _ACCEPT_ENCODING,
    errors.RateLimitedError.status: _RETRY_AFTER,
    errors.RefusalError.status: _RETRY_AFTER,
}

_PARAMETERS: Final = [
    {
        "name": "detail",
        "in": "query",
        "description": "Say of each text where its answer came from, how many tokens it has, and its id.",
        "schema": {"type": "boolean", "default": False},
    },
    {
        "name": "truncate",
        "in": "query",
        "description": "`false` refuses texts that are longer than the model reads, instead of cutting them.",
        "schema": {"type": "boolean", "default": True},
    },
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
        "name": "X-Request-Id",
        "in": "header",
        "description": "Echoed, if it is at most 128 plain characters.",
        "schema": {"type": "string"},
    },
]


def prediction_responses() -> dict[int | str, dict[str, Any]]:
    """Describe all responses of a prediction route, by status."""
    responses: dict[int | str, dict[str, Any]] = {
        200: {"headers": _SUCCESS_HEADERS, "content": {"application/json": {"example": _RESPONSE_EXAMPLE}}}
    }
    for error, detail in _PROBLEMS:
        response = responses.setdefault(
            int(error.status),
            {
                "description": error.title,
                "headers": {**REQUEST_ID_HEADER, **_MORE_HEADERS.get(error.status, {})},
                "content": {MEDIA_TYPE: PROBLEM_CONTENT[MEDIA_TYPE] | {"examples": {}}},
            },
        )
        response["content"][MEDIA_TYPE]["examples"][error.code] = problem_example(error, detail)
    return responses


def prediction_extra() -> dict[str, Any]:
    """Describe the parameters and the body of a prediction route, which FastAPI does not parse itself."""
    schema = PredictRequest.model_json_schema()
    return {
        "parameters": _PARAMETERS,
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": schema, "examples": _REQUEST_EXAMPLES}},
        },
    }


def add_problem_schema(document: dict[str, Any]) -> Mapping[str, Any]:
    """Add the schema that all problem responses refer to."""
    schema = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    definitions = schema.pop("$defs", {})
    schema["properties"]["code"]["enum"] = sorted(
        {error.code for error, _ in _PROBLEMS} | {error.code for error in _ELSEWHERE}
    )
    document.setdefault("components", {}).setdefault("schemas", {}).update({"Problem": schema} | definitions)
    return document
