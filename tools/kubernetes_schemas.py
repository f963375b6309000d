"""JSON schemas for kubeconform, out of what Kubernetes and the makers of our custom resources publish as Go modules.

As a command, `python -m tools.kubernetes_schemas GO FOLDER` fetches the pinned modules with that Go and writes
`FOLDER/<Kubernetes version>/…` and `FOLDER/custom/…`, each file as `<group>/<kind>_<version>.json` in lower case, as
`LAYOUT` tells kubeconform. The schemas are strict: a field that the API does not know is an error, where the API server
would drop it with a warning.
"""

import json
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

LAYOUT: Final = "{{.Group}}/{{.ResourceKind}}_{{.ResourceAPIVersion}}.json"
CUSTOM: Final = "custom"

Schema = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Module:
    """A version of a Go module, the hash of its files as in a go.sum, and which of them describe resources."""

    path: str
    version: str
    hash: str
    files: str


_KUBERNETES: Final = "api/openapi-spec/swagger.json"
KUBERNETES: Final = (
    Module("k8s.io/kubernetes", "v1.30.14", "h1:MrlKXh9uhLIJpyxOeXhcndzRVSvwiV9iJ8NgH8nqPsg=", _KUBERNETES),
    Module("k8s.io/kubernetes", "v1.34.4", "h1:Yy6R4QB8C9kJPp25GFqEvX5XQwY5qzKeqD0Xx6oAcmk=", _KUBERNETES),
    Module("k8s.io/kubernetes", "v1.37.2", "h1:A2VDEiObzkYqFTKhSsn0ZEb0RlLEXpHWj93gi2HqEwE=", _KUBERNETES),
)
"""The oldest version that the manifests are written for, the one of the development cluster, and the newest."""

CUSTOM_RESOURCES: Final = (
    Module(
        "github.com/external-secrets/external-secrets",
        "v1.3.2",
        "h1:u2J8RjlHIeF0oZCqtl92adI/uZWUwOesJIDkfql6LqQ=",
        "config/crds/bases/external-secrets.io_*.yaml",
    ),
    Module(
        "istio.io/api",
        "v1.32.0",
        "h1:37mJvg9I0biYZAEQF+MATs4FNeCpXEIVO3LFpVb6iNM=",
        "kubernetes/customresourcedefinitions.gen.yaml",
    ),
    Module(
        "github.com/kedacore/keda/v2",
        "v2.21.0",
        "h1:R6z2HZvstK4RLUMxroNACzBj74xGxt3kG59b5Xc+Xps=",
        "config/crd/bases/*.yaml",
    ),
    Module(
        "github.com/prometheus-operator/prometheus-operator",
        "v0.85.0",
        "h1:M5xLCLEoaW2IJfnuCwFzzpL+jSVQu3KGT84Pye+fW8s=",
        "example/prometheus-operator-crd/*.yaml",
    ),
    Module(
        "github.com/fluxcd/flagger",
        "v1.44.0",
        "h1:JAb2mE3AAO5Y/JkfHy6xbFDPDPk9lGvqXwmtztNbdhw=",
        "charts/flagger/crds/crd.yaml",
    ),
    Module(
        "github.com/projectcontour/contour",
        "v1.33.8",
        "h1:QoOfwqWws+CVRFpsRC2+f1DmB5IdurtyUtepIsiWfE0=",
        "examples/contour/01-crds.yaml",
    ),
    Module(
        "github.com/argoproj/argo-cd/v3",
        "v3.5.7",
        "h1:Xm1BF+I5OgDKUG3SDK49vn2/Y5AMyaNVko+/JT08gj0=",
        "manifests/crds/*-crd.yaml",
    ),
    Module(
        "github.com/ray-project/kuberay/ray-operator",
        "v1.5.0",
        "h1:KCjCQ7PSsvs9Ke+90CZbbs498nuaIJ/JkXk4vd54EVg=",
        "config/crd/bases/ray.io_*.yaml",
    ),
)

_PROSE: Final = {"description", "example", "externalDocs", "title"}


def from_openapi(document: Mapping[str, Any]) -> Iterator[tuple[str, Schema]]:
    """Yield the file name and the schema of each kind that Kubernetes' OpenAPI document describes.

    Each schema holds the definitions that it reaches, so that it needs no other file.
    """
    definitions = {name: _known_kind(_strict(schema), schema) for name, schema in document["definitions"].items()}
    for name, schema in definitions.items():
        for kind in document["definitions"][name].get("x-kubernetes-group-version-kind", []):
            # A few, such as DeleteOptions, are part of every group and resources of none.
            if {"apiVersion", "kind", "metadata"} <= schema["properties"].keys():
                reached = {other: definitions[other] for other in _reachable(name, definitions)}
                whole = _of_kind(schema, kind["group"], kind["version"], kind["kind"])
                yield _file(kind["group"], kind["version"], kind["kind"]), {**whole, "definitions": reached}


def from_definitions(documents: Iterable[Mapping[str, Any]]) -> Iterator[tuple[str, Schema]]:
    """Yield the file name and the schema of each version of each CustomResourceDefinition."""
    for document in documents:
        spec = document["spec"]
        group, kind = spec["group"], spec["names"]["kind"]
        for version in spec["versions"]:
            schema = _strict(version["schema"]["openAPIV3Schema"])
            schema["properties"] |= {
                "apiVersion": {"type": "string"},
                "kind": {"type": "string"},
                "metadata": {"type": "object"},
            }
            yield _file(group, version["name"], kind), _of_kind(schema, group, version["name"], kind)


def _file(group: str, version: str, kind: str) -> str:
    # kubeconform takes the part before the slash for the group, and `v1` has no slash.
    return f"{group or version}/{kind}_{version}.json".lower()


def _of_kind(schema: Schema, group: str, version: str, kind: str) -> Schema:
    names = {"apiVersion": f"{group}/{version}" if group else version, "kind": kind}
    properties = schema["properties"] | {name: {"const": value} for name, value in names.items()}
    required = sorted({*schema.get("required", []), "apiVersion", "kind", "metadata"})
    return {**schema, "properties": properties, "required": required}


def _known_kind(schema: Schema, published: Mapping[str, Any]) -> Schema:
    """Two types are published as strings and accepted as numbers, too."""
    is_quantity = published.get("description", "").startswith("Quantity is a fixed-point representation")
    return {"type": ["string", "number"]} if is_quantity else schema


def _strict(schema: Mapping[str, Any]) -> Schema:
    """Translate OpenAPI into JSON schema: no prose, and no property that is not listed."""
    kept = {key: value for key, value in schema.items() if key not in _PROSE and not key.startswith("x-")}
    if schema.get("x-kubernetes-int-or-string") or schema.get("format") == "int-or-string":
        kept = {"type": ["integer", "string"]}
    kept.pop("format", None)
    if kept.pop("nullable", False) and "type" in kept:
        kept["type"] = [kept["type"], "null"]
    for key in ("items", "additionalProperties"):
        if isinstance(kept.get(key), dict):
            kept[key] = _strict(kept[key])
    if "properties" in kept:
        kept["properties"] = {name: _strict(value) for name, value in kept["properties"].items()}
        if "additionalProperties" not in kept and not schema.get("x-kubernetes-preserve-unknown-fields"):
            kept["additionalProperties"] = False
    return kept


def _reachable(name: str, definitions: Mapping[str, Schema]) -> set[str]:
    found: set[str] = set()
    waiting = [name]
    while waiting:
        for other in _references(definitions[waiting.pop()]):
            if other not in found:
                found.add(other)
                waiting.append(other)
    return found


def _references(schema: object) -> Iterator[str]:
    if isinstance(schema, dict):
        if isinstance(schema.get("$ref"), str):
            yield schema["$ref"].removeprefix("#/definitions/")
        for value in schema.values():
            yield from _references(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from _references(value)


def _fetch(go: str, module: Module) -> list[Path]:
    """Return the module's files, once it is the one that was pinned."""
    command = [go, "mod", "download", "-json", f"{module.path}@{module.version}"]
    # Not in `tools/`, whose go.mod has nothing to do with it.
    done = subprocess.run(command, cwd="/", stdout=subprocess.PIPE, check=True)  # noqa: S603 - the Go that we were given
    fetched = json.loads(done.stdout)
    if fetched["Sum"] != module.hash:
        sys.exit(f"{module.path}@{module.version} is {fetched['Sum']}, not {module.hash}")
    return sorted(Path(fetched["Dir"]).glob(module.files))


def _documents(text: str) -> Iterator[dict[str, Any]]:
    class Loader(yaml.CSafeLoader):
        """Reads `=` as text, which YAML 1.1 does not."""

    Loader.add_constructor("tag:yaml.org,2002:value", lambda _, node: node.value)
    return (document for document in yaml.load_all(text, Loader=Loader) if document)


def _write(folder: Path, schemas: Iterable[tuple[str, Schema]]) -> None:
    for name, schema in schemas:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(schema), encoding="utf-8")


def main() -> None:
    """Read the command line, `GO FOLDER`, and write the schemas."""
    go, folder = sys.argv[1], Path(sys.argv[2])
    for module in KUBERNETES:
        for file in _fetch(go, module):
            _write(folder / module.version.removeprefix("v"), from_openapi(json.loads(file.read_bytes())))
    for module in CUSTOM_RESOURCES:
        for file in _fetch(go, module):
            _write(folder / CUSTOM, from_definitions(_documents(file.read_text(encoding="utf-8"))))


if __name__ == "__main__":
    main()
