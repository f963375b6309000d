"""`tools.kubernetes_schemas`: published descriptions become strict schemas, one file a kind."""

from typing import Any, Final

import pytest

from tools.kubernetes_schemas import from_definitions, from_openapi

QUANTITY: Final = {"description": "Quantity is a fixed-point representation of a number.", "type": "string"}
OPENAPI: Final[dict[str, Any]] = {
    "definitions": {
        "Pod": {
            "description": "Prose.",
            "type": "object",
            "properties": {
                "apiVersion": {"type": "string"},
                "kind": {"type": "string"},
                "metadata": {"$ref": "#/definitions/Meta"},
                "spec": {"$ref": "#/definitions/Spec"},
            },
            "required": ["spec"],
            "x-kubernetes-group-version-kind": [{"group": "", "version": "v1", "kind": "Pod"}],
        },
        "Meta": {"type": "object", "properties": {"labels": {"additionalProperties": {"type": "string"}}}},
        "Spec": {
            "type": "object",
            "properties": {
                "memory": {"$ref": "#/definitions/Quantity"},
                "port": {"type": "string", "format": "int-or-string"},
                "anything": {"type": "object"},
            },
        },
        "Quantity": QUANTITY,
        "Options": {
            "properties": {"apiVersion": {"type": "string"}, "kind": {"type": "string"}},
            "x-kubernetes-group-version-kind": [{"group": "apps", "version": "v1", "kind": "Options"}],
        },
        "Unrelated": {"type": "object"},
    }
}


@pytest.fixture
def pod() -> dict[str, Any]:
    ((name, schema),) = from_openapi(OPENAPI)
    assert name == "v1/pod_v1.json"
    return schema


def test_a_kind_is_told_by_its_own_name(pod: dict[str, Any]) -> None:
    assert pod["properties"]["apiVersion"] == {"const": "v1"}
    assert pod["properties"]["kind"] == {"const": "Pod"}
    assert pod["required"] == ["apiVersion", "kind", "metadata", "spec"]


def test_a_schema_holds_what_it_reaches_and_nothing_else(pod: dict[str, Any]) -> None:
    assert set(pod["definitions"]) == {"Meta", "Spec", "Quantity"}


def test_only_listed_properties_are_allowed(pod: dict[str, Any]) -> None:
    assert pod["additionalProperties"] is False
    assert pod["definitions"]["Spec"]["additionalProperties"] is False


def test_what_is_open_stays_open(pod: dict[str, Any]) -> None:
    assert pod["definitions"]["Meta"]["properties"]["labels"] == {"additionalProperties": {"type": "string"}}
    assert pod["definitions"]["Spec"]["properties"]["anything"] == {"type": "object"}


def test_numbers_are_allowed_where_kubernetes_reads_them_as_text(pod: dict[str, Any]) -> None:
    assert pod["definitions"]["Quantity"] == {"type": ["string", "number"]}
    assert pod["definitions"]["Spec"]["properties"]["port"] == {"type": ["integer", "string"]}


def test_prose_is_left_out(pod: dict[str, Any]) -> None:
    assert "Prose" not in str(pod)


def definition(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema of a custom resource with this specification."""
    version = {"name": "v1beta1", "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": schema}}}}
    document = {"spec": {"group": "example.org", "names": {"kind": "Thing"}, "versions": [version]}}
    ((name, found),) = from_definitions([document])
    assert name == "example.org/thing_v1beta1.json"
    assert found["properties"]["apiVersion"] == {"const": "example.org/v1beta1"}
    spec: dict[str, Any] = found["properties"]["spec"]
    return spec


def test_a_custom_resource_is_strict_inside_too() -> None:
    nested = {"properties": {"list": {"items": {"properties": {"name": {"type": "string", "nullable": True}}}}}}
    items = definition(nested)["properties"]["list"]["items"]
    assert items == {"properties": {"name": {"type": ["string", "null"]}}, "additionalProperties": False}


def test_a_custom_resource_may_keep_what_it_does_not_know() -> None:
    spec = definition({"properties": {"name": {"type": "string"}}, "x-kubernetes-preserve-unknown-fields": True})
    assert "additionalProperties" not in spec


def test_alternatives_add_to_a_schema_and_do_not_close_it() -> None:
    either = [{"required": ["a"], "properties": {"a": {}}}, {"required": ["b"]}]
    assert definition({"properties": {"a": {}, "b": {}}, "oneOf": either})["oneOf"] == either
