"""Requests that schemathesis derives from the committed document, valid and not, are answered as the document says."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.service_process import ServiceProcess
from tools.openapi import PATH

DOCUMENT = json.loads(PATH.read_text(encoding="utf-8"))
OWN_TAGS = {"predictions", "Hugging Face", "service"}


def is_one_of_its_kind(path: str, tag: str) -> bool:
    """Tell whether to try an operation: of other servers' wire formats, one mount is like the other."""
    return tag in OWN_TAGS or path.startswith("/project/") or path in {"/invocations", "/ping", "/classify"}


OPERATIONS = [
    (path, method.upper(), mode)
    for path, operations in DOCUMENT["paths"].items()
    for method, operation in operations.items()
    for mode in GenerationMode
    if is_one_of_its_kind(path, operation["tags"][0])
    and (mode is GenerationMode.POSITIVE or "requestBody" in operation)
]
EXAMPLES = dict.fromkeys(OWN_TAGS, 60)
"""How many requests an operation is sent; of the others fewer, because they read them in the same way."""
CHECKS = [
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]


@pytest.fixture(scope="module")
def service() -> Iterator[ServiceProcess]:
    with ServiceProcess() as process:
        yield process
        assert process.complaints == []


def test_the_process_serves_the_committed_document(service: ServiceProcess) -> None:
    assert service.client.get("/project/openapi.json").json() == DOCUMENT


@pytest.mark.parametrize(("path", "method", "mode"), OPERATIONS)
def test_answers_are_as_documented(service: ServiceProcess, path: str, method: str, mode: GenerationMode) -> None:
    operation = schemathesis.openapi.from_dict(DOCUMENT)[path][method]
    statuses = set()
    examples = EXAMPLES.get(DOCUMENT["paths"][path][method.lower()]["tags"][0], 20)

    @settings(
        max_examples=examples, derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck)
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def answer(case: schemathesis.Case[Any]) -> None:
        if mode is GenerationMode.POSITIVE and case.headers:
            # A digest that is made up is another model's: nothing but the refusal of that would be seen.
            case.headers.pop("Model-Digest", None)
        response = case.call(base_url=service.url)
        statuses.add(response.status_code)
        case.validate_response(response, checks=CHECKS)
        asked_the_cache_alone = "only-if-cached" in response.request.headers.get("Cache-Control", "")
        assert response.status_code < 500 or (response.status_code == 504 and asked_the_cache_alone)

    answer()
    # The shape of a tensor has to be that of its data, which a schema cannot say; nor is a handshake in one.
    assert 200 in statuses or mode is GenerationMode.NEGATIVE or path.endswith(("/infer", "/stream"))
    assert statuses & {400, 422} or mode is GenerationMode.POSITIVE
