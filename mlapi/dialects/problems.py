"""Writes every error as a problem document (RFC 9457)."""

from http import HTTPStatus
from typing import Final

import msgspec

from mlapi.dialects.base import Refusal
from mlapi.errors import MlapiError

MEDIA_TYPE: Final = "application/problem+json"
TYPE_PREFIX: Final = "urn:mlapi:problem:"
MAX_VIOLATIONS: Final = 100
"""More are not listed: nobody reads them, and the answer would be larger than the request."""

PROBLEM_CONTENT: Final = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}


def problem_document(error: MlapiError, request_id: str) -> dict[str, object]:
    """Return the document; nothing but the error's own public words gets in."""
    document: dict[str, object] = {
        "type": error.problem_type or f"{TYPE_PREFIX}{error.code}",
        "title": error.title,
        "status": int(error.status),
        "detail": error.detail,
        "code": error.code,
        "request_id": request_id,
        "retryable": error.retryable,
    }
    if error.violations:
        listed = error.violations[:MAX_VIOLATIONS]
        document["errors"] = [{"pointer": item.pointer, "detail": item.detail} for item in listed]
    if error.policies:
        document["violated-policies"] = error.policies
    return document


def problem_body(error: MlapiError, request_id: str) -> bytes:
    """Render the document."""
    return msgspec.json.encode(problem_document(error, request_id))


def line_problem(error: MlapiError, request_id: str) -> bytes:
    """Render what stands in the place of a line of a stream: there are no headers that could say when to retry."""
    document = problem_document(error, request_id)
    if error.retry_after_s is not None:
        document["retry_after"] = error.retry_after_s
    return msgspec.json.encode({"error": document})


def problem(error: MlapiError, request_id: str) -> Refusal:
    """Return the document as a response's body."""
    return Refusal(int(error.status), MEDIA_TYPE, problem_body(error, request_id))


def refusal_headers(error: MlapiError, refusal: Refusal, request_id: str) -> list[tuple[bytes, bytes]]:
    """Headers of the response that carries a refusal, in whatever dialect."""
    headers = [
        (b"content-type", refusal.media_type.encode()),
        (b"content-length", b"%d" % len(refusal.body)),
        (b"cache-control", b"no-store"),
        (b"x-request-id", request_id.encode()),
    ]
    headers += [(name.encode(), value.encode()) for name, value in error.headers]
    if error.retry_after_s is not None:
        headers.append((b"retry-after", b"%d" % error.retry_after_s))
    if error.status is HTTPStatus.REQUEST_TIMEOUT:
        # The rest of the body may still come; it must not be read as the next request.
        headers.append((b"connection", b"close"))
    return headers
