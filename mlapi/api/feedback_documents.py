"""Documents the route for opinions: bodies, headers, and every problem that it can answer with."""

from typing import Any, Final

import msgspec
from starlette.types import ASGIApp

from mlapi import errors
from mlapi.api.asgi_route import AsgiRoute
from mlapi.api.content_coding import ACCEPTED
from mlapi.api.openapi import REQUEST_ID_HEADER
from mlapi.dialects.feedback_body import (
    MAX_OPINIONS,
    WRONG_SHAPE,
    FeedbackResponse,
    OpinionRequest,
    OpinionsRequest,
)
from mlapi.dialects.problems import problem

_ID: Final = f"{'5a' * 16}-{'0f' * 16}-{'c3' * 16}"

_EXAMPLES: Final = {
    "one opinion": {"value": {"id": _ID, "label": "NEGATIVE"}},
    "with its text, to learn from": {
        "value": {"id": _ID, "label": "NEGATIVE", "text": "Well, that was two hours.", "consent": True}
    },
    "several": {"value": {"feedback": [{"id": _ID, "label": "POSITIVE"}]}},
}

_PROBLEMS: Final[tuple[tuple[type[errors.MlapiError], str], ...]] = (
    (errors.InvalidHttpError, "Content-Length is not one number"),
    (errors.MalformedJsonError, "JSON is malformed: invalid character (byte 9)"),
    (errors.ContentEncodingError, "the body is not gzip, as its Content-Encoding says, or is damaged"),
    (errors.BodyTimeoutError, "the body was not complete in time"),
    (errors.PayloadTooLargeError, "a body may have 8388608 bytes"),
    (errors.BatchTooLargeError, f"120 opinions; one request may hold {MAX_OPINIONS}"),
    (errors.UnsupportedMediaError, "send the body as application/json"),
    (errors.UnsupportedEncodingError, f"send the body as it is, or in one of these content codings: {ACCEPTED}"),
    (errors.InvalidRequestError, WRONG_SHAPE),
    (errors.TooManyVotesError, "one subject may send 60 opinions a minute"),
    (errors.InternalError, "the service failed; the request id finds the reason in its log"),
    (errors.FeedbackUnavailableError, "the store of opinions cannot be written to now"),
    (errors.OverloadedError, "too many large requests arrive together"),
    (errors.DrainingError, "this instance has stopped"),
)

_RETRY_AFTER: Final = {
    "Retry-After": {"description": "Seconds until it is worth trying again.", "schema": {"type": "string"}}
}


def feedback_route(path: str, operation_id: str, asgi: ASGIApp) -> AsgiRoute:
    """Return the route of one model's opinions; `asgi` serves it."""
    schemas = [model.model_json_schema() for model in (OpinionRequest, OpinionsRequest)]
    # The second refers to the first, whose definition it brings; here each stands for itself.
    definition = schemas[1].pop("$defs")["OpinionRequest"]
    schemas[1]["properties"]["feedback"]["items"] = definition
    return AsgiRoute(
        path,
        asgi,
        methods=["POST"],
        operation_id=operation_id,
        summary="Say what a text is, in your opinion",
        description="Takes one opinion on an answer, or a list of them, of which all are taken or none. There is one "
        "opinion of each caller on each text: a later one replaces it. 201 is said when they are safe in the store, "
        "200 when there was nothing new in them; after anything else, send them again.",
        tags=["feedback"],
        status_code=201,
        response_model=FeedbackResponse,
        response_description="The opinions are in the store.",
        responses=_responses(),
        openapi_extra={
            "requestBody": {
                "required": True,
                "content": {"application/json": {"schema": {"oneOf": schemas}, "examples": _EXAMPLES}},
            }
        },
    )


def trigger_route(path: str, asgi: ASGIApp) -> AsgiRoute:
    """Return a route that asks for runs of the learning loop; `asgi` serves it."""
    name = path.rpartition("/")[2]
    return AsgiRoute(
        path,
        asgi,
        methods=["POST"],
        operation_id=f"learn_{name}",
        summary="Ask for runs of the learning loop",
        description="Takes what Alertmanager sends to a webhook (`alerts`), or a CloudEvent (`events`). The same again "
        "asks for nothing new.",
        tags=["learning"],
        status_code=202,
        response_description="The runs are asked for: `asked` counts them, `new` lists the ids of those that are new.",
        responses={status: found for status, found in _responses().items() if status not in {200, 201, 429}},
        openapi_extra={"requestBody": {"required": True, "content": {"application/json": {"schema": {}}}}},
    )


def _responses() -> dict[int | str, dict[str, Any]]:
    responses: dict[int | str, dict[str, Any]] = {
        200: {"model": FeedbackResponse, "description": "Nothing new: the store holds these very opinions."},
        201: {"headers": REQUEST_ID_HEADER},
    }
    for kind, detail in _PROBLEMS:
        refusal = problem(kind(detail), "d41d8cd98f00-1")
        headers = REQUEST_ID_HEADER | (_RETRY_AFTER if int(kind.status) in {429, 503} else {})
        content = {refusal.media_type: {"schema": {"$ref": "#/components/schemas/Problem"}, "examples": {}}}
        response = responses.setdefault(
            int(kind.status), {"description": kind.title, "headers": headers, "content": content}
        )
        example = {"summary": kind.code, "value": msgspec.json.decode(refusal.body)}
        response["content"][refusal.media_type]["examples"][kind.code] = example
    return responses
