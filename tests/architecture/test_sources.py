"""Holds every source file to the house rules, and each rule to an example that it must catch."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.architecture import source_rules as rules
from tests.architecture.source_rules import EVERYWHERE, PRODUCTION, Rule, Source


@dataclass(frozen=True, slots=True)
class Case:
    """A rule, where it holds, the files that may break it and why, and a file that breaks it and one that does not."""

    rule: Rule
    folders: tuple[str, ...]
    bad: Source
    good: Source
    exceptions: Mapping[str, str] = field(default_factory=dict)


def source(text: str, path: str = "mlapi/cache/example.py") -> Source:
    return Source(Path(path), text)


def function(lines: int) -> str:
    return "\n".join(["async def example() -> None:", *["    pass"] * (lines - 1)]) + "\n"


CASES = {
    "a file has at most 400 lines": Case(
        rules.lines_per_file(400), PRODUCTION, bad=source("\n" * 401), good=source("\n" * 400)
    ),
    "a test file has at most 500 lines": Case(
        rules.lines_per_file(500), ("tests",), bad=source("\n" * 501), good=source("\n" * 500)
    ),
    "a function has at most 60 lines": Case(
        rules.lines_per_function(60),
        PRODUCTION,
        bad=source(function(61)),
        good=source(function(60)),
        exceptions={
            "mlapi/observability/metrics.py": "the one function is a flat list of declarations",
        },
    ),
    "an __init__.py is empty": Case(
        rules.empty_init,
        EVERYWHERE,
        bad=source("from mlapi import app\n", "mlapi/api/__init__.py"),
        good=source("", "mlapi/api/__init__.py"),
        exceptions={
            "mlapi/__init__.py": "exports the public face, and imports it only when it is asked for",
            "clients/python/mlapi_client/__init__.py": "exports the public face",
        },
    ),
    "a module opens with one sentence": Case(
        rules.one_sentence,
        PRODUCTION,
        bad=source('"""Does this. And that."""\n'),
        good=source('"""Does this.\n\nMore. And more.\n"""\n'),
    ),
    "a name tells what is inside": Case(
        rules.telling_name,
        EVERYWHERE,
        bad=source("", "mlapi/cache/key_utils.py"),
        good=source("", "mlapi/cache/keys.py"),
    ),
    "packages are one level deep": Case(
        rules.one_package_level, ("mlapi",), bad=source("", "mlapi/cache/redis/pool.py"), good=source("")
    ),
    "metrics are declared in one place": Case(
        rules.metrics_in_one_place,
        PRODUCTION,
        bad=source("from prometheus_client import Counter\n"),
        good=source("from collections import Counter\nfrom prometheus_client import generate_latest\n"),
        exceptions={"mlapi/observability/metrics.py": "this is the place"},
    ),
    "a test does not sleep": Case(
        rules.no_sleep,
        ("tests",),
        bad=source("import time\ntime.sleep(0.1)\n"),
        good=source("await_turn = asyncio.sleep(0)\n"),
        exceptions={
            "tests/stores.py": "the one wait for a condition, between two looks at it",
            "tests/integration/test_redis_cluster.py": "waits for a condition: that all nodes are seen again",
            "tests/integration/test_redis_credentials.py": "waits for a condition: that a real Redis lets us in again",
            "tests/integration/test_redis_sentinels.py": "waits for a condition: that the new primary is seen",
            "tests/integration/test_redis_store.py": "waits for a condition: that a real Redis is seen again",
            "tests/redis_deployments.py": "the one wait for servers to agree, between two looks at them",
            "tests/unit/cache/test_coalescer.py": "blocks the event loop on purpose: what happens then is the test",
        },
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_the_rule_holds(name: str) -> None:
    case = CASES[name]
    broken = [
        f"{found.path}: {offence}"
        for found in rules.sources(case.folders)
        if found.path.as_posix() not in case.exceptions
        for offence in case.rule(found)
    ]
    assert not broken


@pytest.mark.parametrize("name", CASES)
def test_the_rule_can_be_broken(name: str) -> None:
    case = CASES[name]
    assert list(case.rule(case.bad))
    assert not list(case.rule(case.good))


@pytest.mark.parametrize("name", CASES)
def test_every_exception_is_still_needed(name: str) -> None:
    case = CASES[name]
    breaking = {found.path.as_posix() for found in rules.sources(case.folders) if list(case.rule(found))}
    assert set(case.exceptions) <= breaking


def test_the_rules_see_the_code() -> None:
    seen = {found.path.as_posix() for found in rules.sources(EVERYWHERE)}
    assert {"mlapi/predictor.py", "tools/private_redis.py", "tests/architecture/test_sources.py"} <= seen
