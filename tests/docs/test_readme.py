"""What the README shows is what happens."""

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from mlapi.bundles.store import read_manifest
from mlapi.settings import DEFAULT_BUNDLE
from tests.programs import find_program
from tests.service_process import ServiceProcess

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


@dataclass(frozen=True, slots=True)
class Example:
    """A `curl -i` call in the README and the answer shown below it."""

    path: str
    headers: dict[str, str]
    body: str
    status: int
    answer_headers: dict[str, str]
    answer: str


def examples() -> Iterator[Example]:
    for block in re.findall(r"```console\n\$ (curl .*?)```", README, re.DOTALL):
        command, _, answer = block.partition("\n")
        words = shlex.split(command)
        head, _, answer_body = answer.partition("\n\n")
        status, *lines = head.splitlines()
        yield Example(
            path=next(word for word in words if word.startswith("http")).removeprefix("http://localhost:8000"),
            headers=dict([words[words.index("-H") + 1].split(": ", 1)]),
            body=words[words.index("-d") + 1],
            status=int(status.split()[1]),
            answer_headers=dict(line.split(": ", 1) for line in lines),
            answer=answer_body.strip(),
        )


@pytest.fixture(scope="module")
def service() -> Iterator[ServiceProcess]:
    with ServiceProcess() as process:
        yield process


def run(code: str, folder: Path) -> str:
    """Run lines of Python with `mlapi_client` at hand; returns what they print."""
    environment = os.environ | {"PYTHONPATH": str(ROOT / "clients" / "python")}
    command = [sys.executable, "-c", code]
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60, check=True
    ).stdout


def test_the_lines_of_shell_run(service: ServiceProcess, tmp_path: Path) -> None:
    (lines,) = re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
    find_program("curl", "your package manager to install")
    (tmp_path / "reviews.ndjson").write_text('{"text": "A moving film."}\n{"text": "Dull."}\n', encoding="utf-8")
    command = ["bash", "-euc", lines.replace("http://localhost:8000", service.url)]
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60, check=True
    )
    assert re.findall(r'\[\{"label":"(\w+)"', done.stdout) == ["POSITIVE", "POSITIVE", "NEGATIVE"]
    scores = (tmp_path / "scores.ndjson").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["label"] for line in scores] == ["POSITIVE", "NEGATIVE"]


def lines_of_python(module: str) -> list[str]:
    """Return the README's lines that begin by importing from a module."""
    return re.findall(rf"```python\n(from {module} import .*?)```", README, re.DOTALL)


def test_the_lines_without_a_server_run() -> None:
    (code,) = lines_of_python("mlapi")
    assert run(code, ROOT) == "POSITIVE\n"


def test_the_lines_with_the_client_run(service: ServiceProcess, tmp_path: Path) -> None:
    (tmp_path / "reviews.txt").write_text("A moving film.\nA dull and tedious one.\n", encoding="utf-8")
    one, many = (code.replace("http://localhost:8000", service.url) for code in lines_of_python("mlapi_client"))
    assert run(one, tmp_path) == "POSITIVE\n"
    assert [line.split()[0] for line in run(many, tmp_path).splitlines()] == ["POSITIVE", "NEGATIVE"]


@pytest.mark.torch  # huggingface_hub is in the same set of packages
def test_the_lines_with_another_servers_client_run(service: ServiceProcess, tmp_path: Path) -> None:
    (code,) = lines_of_python("huggingface_hub")
    assert run(code.replace("http://localhost:8000", service.url), tmp_path) == "POSITIVE\n"


def test_the_two_calls_answer_as_shown(service: ServiceProcess) -> None:
    """Scores are compared to two digits: their last ones belong to the processor."""
    shown = list(examples())
    assert len(shown) == 2
    bodies = []
    for example in shown:
        response = httpx.post(service.url + example.path, content=example.body, headers=example.headers)
        assert response.status_code == example.status
        headers = {name: response.headers[name] for name in example.answer_headers}
        # The length follows the scores' digits.
        assert headers | {"content-length": ""} == example.answer_headers | {"content-length": ""}
        assert _rounded(response.text) == _rounded(example.answer)
        bodies.append(response.content)
    assert bodies[0] == bodies[1]


def test_the_quality_shown_is_the_quality_measured() -> None:
    measured = read_manifest(DEFAULT_BUNDLE).evaluations[0]
    assert f"| accuracy | {measured.accuracy:.4f} |" in README
    assert f"| accuracy of the fp32 reference (PyTorch) | {measured.reference_accuracy:.4f} |" in README
    assert f"| same label as the reference | {measured.agreement:.1%} |".replace("%", " %") in README


def test_links_lead_somewhere() -> None:
    for document in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")):
        for target in re.findall(r"\]\(([^)#\s]+)", document.read_text(encoding="utf-8")):
            if not target.startswith("http") and document.name != "template.md":
                assert (document.parent / target).exists(), f"{document.name}: {target}"


def _rounded(body: str) -> list[list[tuple[str, float]]]:
    return [
        [(item["label"], round(item["score"], 2)) for item in prediction]
        for prediction in json.loads(body)["predictions"]
    ]
