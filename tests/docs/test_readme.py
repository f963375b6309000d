"""What the README shows is what happens."""

import json
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


def test_the_lines_of_python_run() -> None:
    (code,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "POSITIVE\n"


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
    measured = read_manifest(DEFAULT_BUNDLE).evaluation
    assert measured is not None
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
