"""The committed OpenAPI document is the one that the application generates, and names every header and problem."""

import ast
import json
import re
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from mlapi import errors
from mlapi.app import create_app
from mlapi.dialects.problems import MEDIA_TYPE
from mlapi.settings import read_settings
from tests.architecture.source_rules import Source, sources
from tools.openapi import PATH, render

DOCUMENT: dict[str, Any] = json.loads(PATH.read_text(encoding="utf-8"))
ROOTS = ("/project", "/lab")
PREDICTIONS = tuple(f"{root}/{route}" for root in ROOTS for route in ("predict", "bulk-predict"))

ROUTES = {
    f"{root}/{route}": {method}
    for root in ROOTS
    for route, method in {
        "predict": "post",
        "bulk-predict": "post",
        "hf": "post",
        "health": "get",
        "model": "get",
    }.items()
}

SPEAKERS = ("mlapi/access/", "mlapi/api/", "mlapi/batching/", "mlapi/dialects/", "mlapi/predictor.py", "mlapi/server/")
"""Where words stand that a client may get to see."""

ABSTRACT = {errors.RequestError, errors.RefusalError}
"""Never raised themselves: only what they have in common."""


ELSEWHERE = {
    errors.NotFoundError,
    errors.MethodNotAllowedError,
    errors.FeedbackUnavailableError,
    errors.TooManyVotesError,
}
"""What other paths and methods answer with."""


def sent_to_clients(root: type[errors.MlapiError] = errors.MlapiError) -> set[type[errors.MlapiError]]:
    """Every class that a client may get to see."""
    found = set()
    for child in root.__subclasses__():
        if child is not errors.ConfigurationError:
            found |= {child} | sent_to_clients(child)
    return found - ABSTRACT


def test_the_committed_document_is_fresh() -> None:
    assert PATH.read_text(encoding="utf-8") == render(), "run `python -m tools.openapi`"


def test_it_documents_the_routes_of_the_contract() -> None:
    assert {path: set(operations) for path, operations in DOCUMENT["paths"].items()} == ROUTES


def operation_ids(document: dict[str, Any]) -> dict[str, str]:
    """Return the operation ids by path: no path has two methods."""
    return {
        path: operation["operationId"]
        for path, operations in document["paths"].items()
        for operation in operations.values()
    }


def test_the_operations_of_the_first_model_have_plain_names() -> None:
    ids = operation_ids(DOCUMENT)
    assert {path: ids[path] for path in (*PREDICTIONS, "/project/hf", "/lab/hf")} == {
        "/project/predict": "predict",
        "/project/bulk-predict": "bulk_predict",
        "/project/hf": "hf",
        "/lab/predict": "lab_predict",
        "/lab/bulk-predict": "lab_bulk_predict",
        "/lab/hf": "lab_hf",
    }
    assert len(set(ids.values())) == len(ids)


@pytest.mark.parametrize("names", [["x", "bulk"], ["x", "a", "a_bulk", "b.c"], ["bulk", "x"]])
def test_no_two_operations_share_an_id_whatever_models_are_called(names: list[str]) -> None:
    settings = read_settings({"MLAPI_MODELS": " ".join(f"{name}=models/{name}" for name in names)})
    document = create_app(settings, {}).openapi()
    ids = operation_ids(document)
    assert len(ids) == len(names) * len(ROUTES) // len(ROOTS)
    assert len(set(ids.values())) == len(ids), ids


def test_every_problem_code_is_listed_in_the_schema() -> None:
    codes = {error.code for error in sent_to_clients()}
    assert set(DOCUMENT["components"]["schemas"]["Problem"]["properties"]["code"]["enum"]) == codes


@pytest.mark.parametrize("path", PREDICTIONS)
def test_every_problem_of_a_prediction_is_documented_with_an_example(path: str) -> None:
    expected = sent_to_clients() - ELSEWHERE
    responses = DOCUMENT["paths"][path]["post"]["responses"]
    documented = {
        (int(status), code)
        for status, response in responses.items()
        if status != "200"
        for code in response["content"][MEDIA_TYPE]["examples"]
    }
    assert documented == {(int(error.status), error.code) for error in expected}
    for status, response in responses.items():
        for code, example in response["content"].get(MEDIA_TYPE, {}).get("examples", {}).items():
            assert (example["value"]["code"], str(example["value"]["status"])) == (code, status)


def sayings(source: Source) -> Iterator[re.Pattern[str]]:
    """Every text of a file as a pattern; what an f-string fills in may be anything."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield re.compile(re.escape(node.value))
        elif isinstance(node, ast.JoinedStr):
            parts = [str(part.value) if isinstance(part, ast.Constant) else None for part in node.values]
            if sum(len(part) for part in parts if part) > 10:
                yield re.compile("".join(".+" if part is None else re.escape(part) for part in parts))


def test_the_details_of_the_examples_are_ones_that_the_service_says() -> None:
    with pytest.raises(msgspec.DecodeError) as malformed:
        msgspec.json.decode(b'{"text": x}')
    said = [re.compile(re.escape(str(malformed.value)))]
    # What engines say of themselves stays in the log.
    said += [
        pattern
        for source in sources(("mlapi",))
        if source.path.as_posix().startswith(
            ("mlapi/access/", "mlapi/api/", "mlapi/server/", "mlapi/dialects/", "mlapi/batching/", "mlapi/predictor.py")
        )
        and source.path.name != "openapi.py"
        for pattern in sayings(source)
    ]
    details = {
        example["value"].get("detail") or example["value"]["error"]
        for path in (*PREDICTIONS, "/project/hf", "/lab/hf")
        for status, response in DOCUMENT["paths"][path]["post"]["responses"].items()
        for content in response["content"].values()
        if status != "200"
        for example in content["examples"].values()
    }
    assert len(details) > 10
    assert {detail for detail in details if not any(pattern.fullmatch(detail) for pattern in said)} == set()


@pytest.mark.parametrize("path", PREDICTIONS)
def test_every_header_of_a_prediction_is_documented(path: str) -> None:
    operation = DOCUMENT["paths"][path]["post"]
    for status, response in operation["responses"].items():
        expected = {"X-Request-Id"}
        if status == "200":
            expected |= {"Cache-Status", "Server-Timing", "Model-Digest", "X-Truncated"}
        if status in {"429", "503"}:
            expected |= {"Retry-After"}
        if status == "429":
            expected |= {"RateLimit", "RateLimit-Policy"}
        if status == "401":
            expected |= {"WWW-Authenticate"}
        if status == "409":
            expected |= {"Model-Digest"}
        if status == "415":
            expected |= {"Accept-Encoding"}
        assert set(response["headers"]) == expected, status
        assert all(header["description"] and header["example"] for header in response["headers"].values())
    assert {(item["in"], item["name"]) for item in operation["parameters"]} == {
        ("query", "detail"),
        ("query", "truncate"),
        ("header", "Cache-Control"),
        ("header", "Content-Encoding"),
        ("header", "Model-Digest"),
        ("header", "X-Request-Id"),
    }


def test_every_reference_leads_somewhere() -> None:
    schemas = DOCUMENT["components"]["schemas"]
    references = {line.split('"')[3] for line in PATH.read_text(encoding="utf-8").splitlines() if '"$ref"' in line}
    assert references
    assert {reference.removeprefix("#/components/schemas/") for reference in references} <= set(schemas)


def test_every_operation_and_member_is_described_in_words() -> None:
    for operations in DOCUMENT["paths"].values():
        for operation in operations.values():
            assert operation["summary"]
            assert operation["description"].endswith(".")
            assert "asgi" not in operation["description"].lower()
    for name, schema in DOCUMENT["components"]["schemas"].items():
        assert schema["description"].endswith("."), name
