"""The tree of errors keeps its promises: stable codes, honest statuses, and documents that tell nothing internal."""

import json
import re
from http import HTTPStatus

import pytest

from mlapi import errors
from mlapi.dialects.problems import problem, problem_body, refusal_headers
from mlapi.dialects.schemas import Problem
from mlapi.errors import MlapiError, Violation

STATUSES = {
    "invalid_http": 400,
    "invalid_json": 400,
    "invalid_content_encoding": 400,
    "invalid_model_digest": 400,
    "unauthorized": 401,
    "forbidden": 403,
    "foreign_form": 403,
    "not_found": 404,
    "method_not_allowed": 405,
    "head_timeout": 408,
    "body_timeout": 408,
    "model_mismatch": 409,
    "payload_too_large": 413,
    "batch_too_large": 413,
    "uri_too_long": 414,
    "upgrade_required": 426,
    "headers_too_large": 431,
    "unsupported_media_type": 415,
    "unsupported_content_encoding": 415,
    "invalid_request": 422,
    "text_too_long": 422,
    "rate_limited": 429,
    "too_many_votes": 429,
    "quota_exceeded": 429,
    "overloaded": 503,
    "draining": 503,
    "feedback_unavailable": 503,
    "deadline_exceeded": 504,
    "not_cached": 504,
    "internal_error": 500,
    "engine_error": 500,
}
"""Clients program against these: changing one breaks them."""

RETRYABLE = {
    "head_timeout",
    "body_timeout",
    "rate_limited",
    "too_many_votes",
    "feedback_unavailable",
    "quota_exceeded",
    "overloaded",
    "draining",
    "deadline_exceeded",
    "engine_error",
}


def classes(root: type[MlapiError] = MlapiError) -> list[type[MlapiError]]:
    return [kind for child in root.__subclasses__() for kind in [child, *classes(child)]]


PUBLIC = [
    kind
    for kind in classes()
    if not issubclass(kind, errors.ConfigurationError) and kind not in {errors.RequestError, errors.RefusalError}
]


def test_codes_and_statuses_are_the_published_ones() -> None:
    assert {kind.code: int(kind.status) for kind in PUBLIC} == STATUSES
    assert len(PUBLIC) == len(STATUSES), "each class has a code of its own"
    assert {kind.code for kind in PUBLIC if kind.retryable} == RETRYABLE


def test_the_drawing_of_the_tree_shows_the_tree() -> None:
    drawn = re.findall(r"[├└]── (\w+) +(?:(\d{3}) (\w+))?", errors.__doc__ or "")
    assert sorted(name for name, _, _ in drawn) == sorted(kind.__name__ for kind in classes())
    shown = {name: (int(status), code) for name, status, code in drawn if status}
    assert shown == {kind.__name__: (int(kind.status), kind.code) for kind in PUBLIC}


@pytest.mark.parametrize("kind", PUBLIC, ids=lambda kind: kind.__name__)
def test_a_document_says_what_the_error_says_and_nothing_more(kind: type[MlapiError]) -> None:
    error = kind("what the client may know", violations=[Violation("/text/3", "is empty")], retry_after_s=7)
    error.__cause__ = RuntimeError("a password, a path, a traceback")
    body = problem_body(error, "the-id")
    assert json.loads(body) == {
        "type": kind.problem_type or f"urn:mlapi:problem:{kind.code}",
        "title": kind.title,
        "status": int(kind.status),
        "detail": "what the client may know",
        "code": kind.code,
        "request_id": "the-id",
        "retryable": kind.retryable,
        "errors": [{"pointer": "/text/3", "detail": "is empty"}],
    }
    Problem.model_validate_json(body, strict=True, extra="forbid")


@pytest.mark.parametrize("kind", PUBLIC, ids=lambda kind: kind.__name__)
def test_headers_say_when_to_come_back_and_whether_to_reconnect(kind: type[MlapiError]) -> None:
    for retry_after_s in (None, 7):
        error = kind("no", retry_after_s=retry_after_s)
        refusal = problem(error, "the-id")
        headers = dict(refusal_headers(error, refusal, "the-id"))
        assert headers.pop(b"content-type") == b"application/problem+json"
        assert headers.pop(b"content-length") == b"%d" % len(refusal.body)
        assert headers.pop(b"cache-control") == b"no-store"
        assert headers.pop(b"x-request-id") == b"the-id"
        assert headers.pop(b"retry-after", None) == (None if retry_after_s is None else b"7")
        # Whatever is left of the body must not be read as a request.
        assert headers.pop(b"connection", None) == (b"close" if kind.status is HTTPStatus.REQUEST_TIMEOUT else None)
        assert headers == {}
    assert "errors" not in json.loads(problem_body(kind("no"), "the-id"))
