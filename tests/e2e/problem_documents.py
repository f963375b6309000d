"""What every refusal looks like from outside, checked in one place."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

LATE = {"deadline_exceeded", "body_timeout", "head_timeout"}
MEMBERS = {"type", "title", "status", "detail", "code", "request_id", "retryable"}


class Answer(Protocol):
    """What both kinds of client in these tests return."""

    @property
    def headers(self) -> Mapping[str, str]:
        """Headers by lower-case name."""

    def json(self) -> Any:  # noqa: ANN401  what httpx declares
        """Return the body."""


def assert_problem(
    answer: Answer, status: int, seen: int, code: str, pointers: Sequence[str] | None = None
) -> dict[str, Any]:
    """Hold an answer of status `seen` to being this problem, with these faults, if given; return the document."""
    document: dict[str, Any] = answer.json()
    assert (seen, document.get("code")) == (status, code), document
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["cache-control"] == "no-store"
    assert set(document) - {"errors"} == MEMBERS
    assert document["type"] == f"urn:mlapi:problem:{code}"
    assert document["status"] == status
    assert document["request_id"] == answer.headers["x-request-id"]
    assert document["retryable"] == ("retry-after" in answer.headers or code in LATE)
    assert document["title"]
    assert document["detail"]
    errors = document.get("errors", [])
    assert all(set(error) == {"pointer", "detail"} and error["detail"] for error in errors)
    if pointers is not None:
        assert [error["pointer"] for error in errors] == list(pointers)
    return document
