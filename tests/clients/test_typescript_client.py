"""The TypeScript client: its types are those of the service, it compiles, and it answers as the service does."""

import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import pytest

from tests.architecture.source_rules import ROOT
from tests.e2e.api_keys import KeysFile
from tests.programs import find_program, miss
from tests.service_process import ServiceProcess

SOURCE: Final = ROOT / "clients" / "typescript"
BUILT: Final = ROOT / ".tools" / "typescript"
"""Its packages, and a copy of the source beside them, which is what is built: Node looks for packages there."""


def node(*arguments: str, environment: Mapping[str, str] | None = None) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [find_program("node", "tools/clients.sh"), *arguments],
        cwd=BUILT,
        env=os.environ | dict(environment or {}),
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


@pytest.fixture(scope="module")
def sources() -> None:
    if not (BUILT / "installed").exists():
        miss("tools/clients.sh typescript")
    for name in ("src", "test", "dist"):
        shutil.rmtree(BUILT / name, ignore_errors=True)
    for name in ("src", "test"):
        shutil.copytree(SOURCE / name, BUILT / name)
    for name in ("generate.mjs", "tsconfig.json"):
        shutil.copy(SOURCE / name, BUILT)


@pytest.mark.usefixtures("sources")
def test_the_types_are_those_of_the_document() -> None:
    done = node("generate.mjs", "--check")
    assert done.returncode == 0, done.stderr
    types = BUILT / "src" / "openapi.ts"
    types.write_text(types.read_text(encoding="utf-8") + "// changed", encoding="utf-8")
    assert node("generate.mjs", "--check").returncode == 1
    shutil.copy(SOURCE / "src" / "openapi.ts", types)


@pytest.mark.usefixtures("sources")
def test_it_compiles_and_answers_as_the_service_does(service: ServiceProcess, tmp_path: Path) -> None:
    compiled = node("node_modules/typescript/lib/tsc.js", "--project", "tsconfig.json")
    assert compiled.returncode == 0, compiled.stdout
    keys = KeysFile(tmp_path)
    key = keys.add("typescript")
    (lines,) = re.findall(r"```ts\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    lines = lines.replace('"mlapi-client"', '"./dist/index.js"').replace("http://localhost:8000", service.url)
    (BUILT / "readme.mjs").write_text(lines, encoding="utf-8")
    assert node("readme.mjs").stdout.strip() in {"POSITIVE", "NEGATIVE"}
    with ServiceProcess(engine="fake", keys_file=str(keys.path)) as keyed:
        environment = {"SERVICE_URL": service.url, "KEYED_URL": keyed.url, "API_KEY": str(key)}
        done = node("--test", "test/client.test.mjs", environment=environment)
    assert done.returncode == 0, done.stdout
    (passed,) = re.findall(r"^\W*pass (\d+)$", done.stdout, re.MULTILINE)
    assert int(passed) == (SOURCE / "test" / "client.test.mjs").read_text(encoding="utf-8").count("\ntest(")
