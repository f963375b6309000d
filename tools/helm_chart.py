"""Writes the Helm chart out of what kustomize builds for production: `python -m tools.helm_chart`.

Each option of the chart is a component of `.k8s`. Production is built with every combination of them. An object that is
the same in all of them becomes a template as it is; one that differs, a template with a branch for each of its forms.
What operators set (images, hosts, sizes) is then replaced by values, whose defaults are what stood there. So the chart
renders what kustomize builds by the way in which it is made; tests/manifests/test_helm_chart.py compares the two.
"""

import itertools
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from tools.programs import find_program

ROOT: Final = Path(__file__).resolve().parent.parent
CHART: Final = ROOT / "infra" / "helm" / "mlapi"
OVERLAY: Final = "prod"

Object = dict[str, Any]
Combination = tuple[bool, ...]


@dataclass(frozen=True, slots=True)
class Option:
    """An option of the chart: its value, the components behind it, and whether production has them by default."""

    value: str
    components: tuple[str, ...]
    default: bool


OPTIONS: Final = (
    Option("lab", ("lab", "istio-lab"), default=True),
    Option("externalRedis", ("external-redis",), default=False),
    Option("apiKeys", ("api-keys",), default=False),
    Option("monitoring", ("monitoring",), default=False),
)
COMBINATIONS: Final = tuple(itertools.product((False, True), repeat=len(OPTIONS)))
DEFAULT: Final = tuple(option.default for option in OPTIONS)

_OPENING: Final = "{{"
_ESCAPED: Final = '{{ "{{" }}'
_MARK: Final = "@@"
_VERBATIM: Final = ("ConfigMap", "mlapi-config")


def build(combination: Combination, kustomize: Path) -> list[Object]:
    """Return production's objects with these options."""
    wanted = [name for option, on in zip(OPTIONS, combination, strict=True) if on for name in option.components]
    optional = {name for option in OPTIONS for name in option.components}
    with tempfile.TemporaryDirectory() as scratch:
        tree = Path(scratch) / "k8s"
        shutil.copytree(ROOT / ".k8s", tree)
        file = tree / "overlays" / OVERLAY / "kustomization.yaml"
        overlay = yaml.safe_load(file.read_text(encoding="utf-8"))
        kept = [path for path in overlay.get("components", []) if Path(path).name not in optional]
        overlay["components"] = [*kept, *(f"../../components/{name}" for name in wanted)]
        file.write_text(yaml.safe_dump(overlay), encoding="utf-8")
        built = subprocess.run([kustomize, "build", file.parent], capture_output=True, text=True, check=True)  # noqa: S603  our own program
    return [item for item in yaml.safe_load_all(built.stdout) if item]


def identity(item: Object) -> tuple[str, str]:
    """Return what an object is known by; the hash in the name of the settings is no part of it."""
    name = item["metadata"]["name"]
    return item["kind"], "mlapi-config" if name.startswith("mlapi-config-") else name


def chart(builds: Mapping[Combination, Sequence[Object]]) -> dict[str, str]:
    """Return the generated files of the chart, by their paths in it."""
    namespace = _namespace(builds[DEFAULT])
    forms: dict[tuple[str, str], dict[Combination, Object]] = {}
    for combination, items in builds.items():
        for item in items:
            forms.setdefault(identity(item), {})[combination] = item
    files, values = {}, _values(builds[DEFAULT])
    for (kind, name), of_combination in sorted(forms.items()):
        if (kind, name) == _VERBATIM:
            continue

        def write(item: Object) -> str:
            return _template(item, namespace)

        files[f"templates/{kind.lower()}-{name}.yaml"] = _guarded(kind, name, _branches(of_combination, write))
    settings = forms[_VERBATIM]
    files["templates/configmap-mlapi-config.yaml"] = _CONFIG
    files["templates/_settings.tpl"] = (
        '{{- define "mlapi.defaults" -}}\n'
        + _branches(settings, lambda item: yaml.safe_dump(item["data"]))
        + '{{- end -}}\n\n{{- define "mlapi.kustomizeSuffix" -}}\n'
        + _branches(settings, lambda item: item["metadata"]["name"].removeprefix("mlapi-config-") + "\n")
        + "{{- end -}}\n"
    )
    files["values.yaml"] = _HEADER + yaml.safe_dump(values, sort_keys=False)
    files["values.schema.json"] = json.dumps(_schema(values, ()), indent=2) + "\n"
    return files


_HEADER: Final = "# Written by `python -m tools.helm_chart`. README.md says what each value is.\n"

_CONFIG: Final = """\
apiVersion: v1
kind: ConfigMap
metadata:
  labels:
    app.kubernetes.io/managed-by: kustomize
    app.kubernetes.io/part-of: mlapi
  name: {{ include "mlapi.configName" . }}
  namespace: {{ .Release.Namespace }}
data:
  {{- include "mlapi.config" . | nindent 2 }}
"""


def _namespace(items: Sequence[Object]) -> str:
    (found,) = (item["metadata"]["name"] for item in items if item["kind"] == "Namespace")
    return str(found)


def _find(items: Sequence[Object], kind: str, name: str) -> Object:
    (found,) = (item for item in items if identity(item) == (kind, name))
    return found


def _main_container(deployment: Object) -> Object:
    container: Object = deployment["spec"]["template"]["spec"]["containers"][0]
    return container


def _values(items: Sequence[Object]) -> Object:
    """Return the values and their defaults, as they stand in production."""
    mlapi, lab, redis = (_find(items, "Deployment", name) for name in ("mlapi", "lab", "redis"))
    scaler = _find(items, "HorizontalPodAutoscaler", "mlapi")["spec"]
    routes = _find(items, "VirtualService", "mlapi")["spec"]
    repository, _, tag = _main_container(mlapi)["image"].rpartition(":")
    return {
        "image": {"repository": repository, "tag": tag},
        "namespace": {"create": False},
        "config": {},
        "resources": _main_container(mlapi)["resources"],
        "lab": {"enabled": True, "resources": _main_container(lab)["resources"]},
        "redis": {"image": _main_container(redis)["image"], "resources": _main_container(redis)["resources"]},
        "autoscaling": {"minReplicas": scaler["minReplicas"], "maxReplicas": scaler["maxReplicas"]},
        "istio": {"enabled": True, "hosts": routes["hosts"], "gateways": routes["gateways"]},
        **{option.value: {"enabled": False} for option in OPTIONS if not option.default},
    }


def _schema(value: Any, path: tuple[str, ...]) -> Object:  # noqa: ANN401  as YAML has it
    """Return what a value may be. Helm takes a value that no template reads, such as a misspelt one, without a word."""
    if isinstance(value, dict):
        schema: Object = {"type": "object"}
        # Kubernetes and the service say what these may hold.
        if path[-1:] != ("resources",) and path != ("config",):
            schema |= {"additionalProperties": False}
            schema["properties"] = {name: _schema(each, (*path, name)) for name, each in value.items()}
            if not path:
                schema["properties"]["global"] = {"type": "object"}
        return schema
    if isinstance(value, list):
        return {"type": "array", "minItems": 1, "items": {"type": "string"}}
    kinds = {bool: "boolean", int: "integer", str: "string"}
    return {"type": kinds[type(value)]}


def _branches(forms: Mapping[Combination, Object], write: Callable[[Object], str]) -> str:
    """Return one text where all combinations have the same form, else a branch for each."""
    texts = {combination: write(item) for combination, item in forms.items()}
    return _branch(texts, ())


def _branch(texts: Mapping[Combination, str], decided: Combination) -> str:
    rest = {combination: text for combination, text in texts.items() if combination[: len(decided)] == decided}
    reachable = 2 ** (len(OPTIONS) - len(decided))
    if not rest:
        return ""
    if len(rest) == reachable and len(set(rest.values())) == 1:
        return next(iter(rest.values()))
    off, on = (_branch(texts, (*decided, value)) for value in (False, True))
    if off == on:
        return off
    condition = f".Values.{OPTIONS[len(decided)].value}.enabled"
    if not off:
        return f"{{{{- if {condition} }}}}\n{on}{{{{- end }}}}\n"
    if not on:
        return f"{{{{- if not {condition} }}}}\n{off}{{{{- end }}}}\n"
    return f"{{{{- if {condition} }}}}\n{on}{{{{- else }}}}\n{off}{{{{- end }}}}\n"


def _guarded(kind: str, name: str, text: str) -> str:
    """Put an object that an option outside of `OPTIONS` takes away behind its value."""
    condition = ""
    if kind == "Namespace":
        condition = ".Values.namespace.create"
    elif kind in {"VirtualService", "DestinationRule"} or name == "mlapi-gateway":
        condition = ".Values.istio.enabled"
    return f"{{{{- if {condition} }}}}\n{text}{{{{- end }}}}\n" if condition else text


def _template(item: Object, namespace: str) -> str:
    """Return an object as a template."""
    blocks: dict[str, str] = {}
    marked = _mark(item, namespace, blocks)
    text = yaml.safe_dump(marked, sort_keys=False, width=1_000_000).replace(_OPENING, _ESCAPED)
    lines = []
    for line in text.splitlines():
        mark = line.partition(_MARK)[2].partition(_MARK)[0]
        if not mark:
            lines.append(line)
            continue
        expression = blocks[mark]
        if expression.startswith("toYaml"):
            indent = len(line) - len(line.lstrip(" -")) + 2
            lines.append(f"{line.partition(':')[0]}: {{{{- {expression} | nindent {indent} }}}}")
        else:
            quoted = f"'{_MARK}{mark}{_MARK}'"
            lines.append(line.replace(quoted if quoted in line else f"{_MARK}{mark}{_MARK}", f"{{{{ {expression} }}}}"))
    return "\n".join(lines) + "\n"


def _mark(item: Object, namespace: str, blocks: dict[str, str]) -> Any:  # noqa: ANN401  as YAML has it
    """Return a copy of an object with marks where a value goes; `blocks` gets the expression of each."""
    kind, name = identity(item)

    def mark(expression: str) -> str:
        label = f"value{len(blocks)}"
        blocks[label] = expression
        return f"{_MARK}{label}{_MARK}"

    def walk(value: Any, path: tuple[str | int, ...]) -> Any:  # noqa: ANN401  as above
        expression = next(_expressions(kind, name, value, path, namespace), None)
        if expression:
            return mark(expression)
        if isinstance(value, dict):
            return {key: walk(each, (*path, key)) for key, each in value.items()}
        if isinstance(value, list):
            return [walk(each, (*path, place)) for place, each in enumerate(value)]
        return value

    return walk(item, ())


def _expressions(
    kind: str,
    name: str,
    value: Any,  # noqa: ANN401  as YAML has it
    path: tuple[str | int, ...],
    namespace: str,
) -> Iterator[str]:
    """Yield what takes the place of a value at a path of an object, if anything does."""
    last = path[-1] if path else ""
    if value == namespace and last == "namespace":
        yield ".Release.Namespace"
    if kind == "Namespace" and path == ("metadata", "name"):
        yield ".Release.Namespace"
    if isinstance(value, str) and value.startswith("mlapi-config-") and last == "name":
        yield 'include "mlapi.configName" .'
    if last == "image" and isinstance(value, str):
        yield ".Values.redis.image" if name == "redis" else 'include "mlapi.image" .'
    if kind == "Deployment" and path[-3:] == ("containers", 0, "resources"):
        yield "toYaml " + {"mlapi": ".Values.resources"}.get(name, f".Values.{name}.resources")
    if kind == "HorizontalPodAutoscaler" and last in {"minReplicas", "maxReplicas"}:
        yield f".Values.autoscaling.{last}"
    if kind == "VirtualService" and path in {("spec", "hosts"), ("spec", "gateways")}:
        yield f"toYaml .Values.istio.{last}"


def main() -> None:
    """Write the chart's generated files, and remove templates of objects that are no more."""
    kustomize = find_program("kustomize")
    if kustomize is None:
        sys.exit("mlapi: missing: run tools/go_tools.sh kustomize")
    files = chart({combination: build(combination, kustomize) for combination in COMBINATIONS})
    for old in (CHART / "templates").glob("*.yaml"):
        old.unlink()
    for path, text in files.items():
        (CHART / path).parent.mkdir(parents=True, exist_ok=True)
        (CHART / path).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
