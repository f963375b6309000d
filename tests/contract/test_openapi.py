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

BELOW_MODELS = {
    "predict": "post",
    "bulk-predict": "post",
    "tokenize": "post",
    "explain": "post",
    "stream": "get",
    "hf": "post",
    "tei/predict": "post",
    "tei/info": "get",
    "tei/health": "get",
    "health": "get",
    "model": "get",
}

EVERYWHERE = {
    "classify": "post",
    "v1/classify": "post",
    "v1/models/{name}:predict": "post",
    "v1/models": "get",
    "v1/models/{name}": "get",
    "v2": "get",
    "v2/health/live": "get",
    "v2/health/ready": "get",
    "v2/models": "get",
    "v2/models/{name}": "get",
    "v2/models/{name}/ready": "get",
    "v2/models/{name}/infer": "post",
    "api/v1/text/contents": "post",
}
"""Below each model's root, and at the root of the process."""

OF_THE_PROCESS = {"invocations": "post", "endpoints/{name}/invocations": "post", "ping": "get"}

ROUTES = {
    f"{root}/{route}".format(name=root[1:]): {method}
    for root in ROOTS
    for route, method in (BELOW_MODELS | EVERYWHERE).items()
} | {
    f"/{route}".format(name=root[1:]): {method}
    for root in ROOTS
    for route, method in (EVERYWHERE | OF_THE_PROCESS).items()
}

DIALECTS = tuple(path for path, methods in ROUTES.items() if methods == {"post"} and path not in PREDICTIONS)

SPEAKERS = ("mlapi/access/", "mlapi/api/", "mlapi/batching/", "mlapi/dialects/", "mlapi/predictor.py", "mlapi/server/")
"""Where words stand that a client may get to see."""

ABSTRACT = {errors.RequestError, errors.RefusalError}
"""Never raised themselves: only what they have in common."""


ELSEWHERE = {
    errors.ForeignFormError,
    errors.NotFoundError,
    errors.MethodNotAllowedError,
    errors.FeedbackUnavailableError,
    errors.TooManyVotesError,
    errors.UpgradeRequiredError,
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


def responses_of(path: str, method: str = "post") -> dict[str, Any]:
    """Return the responses of an operation by status; refusals are written once and referred to."""
    found = {}
    for status, response in DOCUMENT["paths"][path][method]["responses"].items():
        name = response.get("$ref", "").removeprefix("#/components/responses/")
        found[status] = DOCUMENT["components"]["responses"][name] if name else response
    return found


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
    named = sum("{name}" in route for route in EVERYWHERE | OF_THE_PROCESS)
    of_the_process = len(EVERYWHERE) + len(OF_THE_PROCESS) - named
    assert len(ids) == len(names) * (len(BELOW_MODELS) + len(EVERYWHERE) + named) + of_the_process
    assert len(set(ids.values())) == len(ids), ids


def test_every_problem_code_is_listed_in_the_schema() -> None:
    codes = {error.code for error in sent_to_clients()}
    assert set(DOCUMENT["components"]["schemas"]["Problem"]["properties"]["code"]["enum"]) == codes


@pytest.mark.parametrize("path", PREDICTIONS)
def test_every_problem_of_a_prediction_is_documented_with_an_example(path: str) -> None:
    expected = sent_to_clients() - ELSEWHERE
    responses = responses_of(path)
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


def words(refusal: Any) -> str:  # noqa: ANN401  whatever the dialect writes
    """Return what a refusal says, in whatever wire format."""
    if isinstance(refusal.get("error"), dict):
        refusal = refusal["error"]
    return str(refusal.get("detail") or refusal.get("message") or refusal["error"])


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
        words(example["value"])
        for path in (*PREDICTIONS, *DIALECTS)
        for status, response in responses_of(path).items()
        for content in response["content"].values()
        if status != "200"
        for example in content["examples"].values()
    }
    assert len(details) > 10
    assert {detail for detail in details if not any(pattern.fullmatch(detail) for pattern in said)} == set()


@pytest.mark.parametrize("path", PREDICTIONS)
def test_every_header_of_a_prediction_is_documented(path: str) -> None:
    operation = DOCUMENT["paths"][path]["post"]
    for status, response in responses_of(path).items():
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
        ("query", "top_k"),
        ("query", "threshold"),
        ("query", "scores"),
        ("query", "long"),
        ("query", "combine"),
        ("header", "Cache-Control"),
        ("header", "Content-Encoding"),
        ("header", "Model-Digest"),
        ("header", "X-Request-Id"),
    }


def test_every_reference_leads_somewhere() -> None:
    components = DOCUMENT["components"]
    references = {line.split('"')[3] for line in PATH.read_text(encoding="utf-8").splitlines() if '"$ref"' in line}
    assert references
    assert (
        references
        == {f"#/components/{kind}/{name}" for kind in ("schemas", "responses") for name in components[kind]}
        & references
    )


def test_every_operation_and_member_is_described_in_words() -> None:
    for operations in DOCUMENT["paths"].values():
        for operation in operations.values():
            assert operation["summary"]
            assert operation["description"].endswith(".")
            assert "asgi" not in operation["description"].lower()
    for name, schema in DOCUMENT["components"]["schemas"].items():
        assert schema["description"].endswith("."), name
