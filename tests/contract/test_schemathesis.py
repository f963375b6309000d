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
OPERATIONS = [
    (path, method.upper(), mode)
    for path, operations in DOCUMENT["paths"].items()
    for method, operation in operations.items()
    for mode in GenerationMode
    if mode is GenerationMode.POSITIVE or "requestBody" in operation
]
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

    @settings(max_examples=60, derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck))
    @given(case=operation.as_strategy(generation_mode=mode))
    def answer(case: schemathesis.Case[Any]) -> None:
        response = case.call(base_url=service.url)
        statuses.add(response.status_code)
        case.validate_response(response, checks=CHECKS)
        asked_the_cache_alone = "only-if-cached" in response.request.headers.get("Cache-Control", "")
        assert response.status_code < 500 or (response.status_code == 504 and asked_the_cache_alone)

    answer()
    assert 200 in statuses or mode is GenerationMode.NEGATIVE
    assert statuses & {400, 422} or mode is GenerationMode.POSITIVE
