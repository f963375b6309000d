"""The house rules that a source file can break, each as a function from a file to what is wrong with it."""

import ast
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
PRODUCTION: Final = ("mlapi", "tools", "benchmarks", "monitoring", "training", "clients", "soak")
EVERYWHERE: Final = (*PRODUCTION, "tests")

BANNED_NAMES: Final = {"common", "core", "helper", "helpers", "lib", "manager", "misc", "util", "utils"}
METRIC_TYPES: Final = {"Counter", "Enum", "Gauge", "Histogram", "Info", "Summary"}


@dataclass(frozen=True, slots=True)
class Source:
    """A Python file: its path below the repository's root, its text, and the text parsed."""

    path: Path
    text: str

    @property
    def tree(self) -> ast.Module:
        return ast.parse(self.text)


Rule = Callable[[Source], Iterator[str]]
"""Yields what breaks the rule, one sentence each."""


def sources(folders: tuple[str, ...]) -> list[Source]:
    """Every Python file below these folders of the repository."""
    paths = sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))
    return [Source(path.relative_to(ROOT), path.read_text(encoding="utf-8")) for path in paths]


def lines_per_file(limit: int) -> Rule:
    def rule(source: Source) -> Iterator[str]:
        count = source.text.count("\n")
        if count > limit:
            yield f"has {count} lines, more than {limit}"

    return rule


def lines_per_function(limit: int) -> Rule:
    def rule(source: Source) -> Iterator[str]:
        for node in ast.walk(source.tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                count = (node.end_lineno or node.lineno) - node.lineno + 1
                if count > limit:
                    yield f"{node.name} has {count} lines, more than {limit}"

    return rule


def empty_init(source: Source) -> Iterator[str]:
    if source.path.name == "__init__.py" and source.text:
        yield "is not empty"


def one_sentence(source: Source) -> Iterator[str]:
    """The first line of the module's docstring is one whole sentence."""
    if source.path.name == "__init__.py":
        return
    first = (ast.get_docstring(source.tree) or "").partition("\n")[0]
    if not first.endswith(".") or ". " in first:
        yield f"does not open with one sentence that says its job: {first!r}"


def telling_name(source: Source) -> Iterator[str]:
    for part in source.path.with_suffix("").parts:
        if BANNED_NAMES & {part, *part.split("_")}:
            yield f"{part!r} says nothing of what is inside"


def one_package_level(source: Source) -> Iterator[str]:
    if len(source.path.parts) > len(("mlapi", "package", "module.py")):
        yield "lies more than one package deep"


def metrics_in_one_place(source: Source) -> Iterator[str]:
    """Metric types are imported where every metric is declared, so that nothing else can make one."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Import) and any(name.name.startswith("prometheus_client") for name in node.names):
            yield "imports prometheus_client whole"
        elif isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "prometheus_client":
            yield from (f"imports {name.name}" for name in node.names if name.name in {*METRIC_TYPES, "*", "metrics"})


def no_sleep(source: Source) -> Iterator[str]:
    """Sleeping for zero seconds only lets others run, and is fine."""
    for node in ast.walk(source.tree):
        if not isinstance(node, ast.Call):
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        yields_only = len(node.args) == 1 and isinstance(node.args[0], ast.Constant) and node.args[0].value == 0
        if name == "sleep" and not yields_only:
            yield f"sleeps in line {node.lineno}"
