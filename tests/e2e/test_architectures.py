"""Checkpoints of many architectures, made bundles and served, answer as the pipeline of transformers does."""

# ruff: noqa: E402  the libraries are imported only where they are installed

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple, get_args

import httpx
import pytest

from tests.checkpoint_tokenizers import SENTENCES, WORDS
from tests.engine_checkpoints import Architecture, TinyCheckpoint, need_pipeline
from tests.service_process import ServiceProcess

need_pipeline()

import torch
from transformers import pipeline

from mlapi.bundling.build import Order, build

pytestmark = pytest.mark.torch

TOLERANCE: Final = 1e-5
"""How far a score may be from the pipeline's; both compute in fp32."""

LONG: Final = " ".join(itertools.islice(itertools.cycle(WORDS), 200))
"""More tokens than the models read."""

TEXTS: Final = (*SENTENCES, "Ünïcödé: a naïve café, 日本語 🙂", LONG)


class Case(NamedTuple):
    """A kind of model: its architecture, and how many labels it has, of which several may apply."""

    architecture: Architecture
    labels: int
    multi_label: bool = False

    @property
    def name(self) -> str:
        """What a request calls it."""
        return f"{self.architecture}-{self.labels}"


CASES: Final = (
    Case("bert", 2),
    Case("roberta", 3),
    Case("xlm-roberta", 5),
    Case("deberta-v2", 28, multi_label=True),
    Case("modernbert", 3),
    Case("electra", 1),
    Case("mpnet", 28),
    Case("albert", 5, multi_label=True),
)
OTHER_CASES: Final = tuple(
    case
    for architecture in get_args(Architecture)
    for labels, multi_label in ((1, False), (2, False), (3, False), (5, False), (28, True))
    if (case := Case(architecture, labels, multi_label)) not in CASES
)


class Served(NamedTuple):
    """Bundles in one process, and the checkpoints that they were made of."""

    process: ServiceProcess
    checkpoints: dict[str, Path]

    def scores(self, name: str, texts: tuple[str, ...]) -> list[dict[str, float]]:
        """Ask for predictions."""
        response = httpx.post(f"{self.process.url}/{name}/predict", json={"text": texts}, timeout=60)
        assert response.status_code == 200, response.text
        return [{item["label"]: item["score"] for item in one} for one in response.json()["predictions"]]


def serve(cases: tuple[Case, ...], folder: Path) -> Iterator[Served]:
    checkpoints = {}
    for case in cases:
        settings = {"problem_type": "multi_label_classification"} if case.multi_label else {}
        checkpoint = folder / case.name
        checkpoint.mkdir()
        labels = tuple(f"label {index}" for index in range(case.labels))
        TinyCheckpoint(case.architecture, labels=labels, settings=settings).write(checkpoint)
        build(Order(str(checkpoint), folder / f"{case.name}.bundle", precision="fp32"), lambda _: None)
        checkpoints[case.name] = checkpoint
    models = " ".join(f"{name}={folder / name}.bundle" for name in checkpoints)
    with ServiceProcess(models=models) as process:
        yield Served(process, checkpoints)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    yield from serve(CASES, tmp_path_factory.mktemp("models"))


def check(case: Case, served: Served) -> None:
    found = served.scores(case.name, TEXTS)
    classify: Any = pipeline("text-classification", str(served.checkpoints[case.name]), dtype=torch.float32)
    expected = classify(list(TEXTS), top_k=None, truncation=True, max_length=64)
    for text, scores, items in zip(TEXTS, found, expected, strict=True):
        theirs = {item["label"]: item["score"] for item in items}
        assert scores.keys() == theirs.keys()
        assert max(abs(scores[label] - theirs[label]) for label in theirs) < TOLERANCE, text
    if case.labels > 1 and not case.multi_label:
        assert all(abs(sum(scores.values()) - 1) < TOLERANCE for scores in found)
    first = [scores["label 0"] for scores in found]
    assert max(first) - min(first) > 1000 * TOLERANCE, "all texts score alike, so that nothing was compared"


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_its_answers_are_those_of_transformers(served: Served, case: Case) -> None:
    check(case, served)


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_a_text_has_the_same_bytes_alone_and_among_others(served: Served, case: Case) -> None:
    together = tuple(f"{text} {case.name}" for text in SENTENCES)
    url = f"{served.process.url}/{case.name}/predict"
    headers = {"cache-control": "no-store"}
    among_others = httpx.post(url, json={"text": together}, headers=headers, timeout=60).json()["predictions"]
    for text, expected in zip(together, among_others, strict=True):
        alone = httpx.post(url, json={"text": text}, headers=headers, timeout=60)
        assert alone.headers["cache-status"].startswith("mlapi; fwd=miss"), "the model was not asked"
        assert alone.json()["predictions"] == [expected]


@pytest.mark.long
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("architecture", get_args(Architecture))
def test_so_are_those_with_other_numbers_of_labels(tmp_path: Path, architecture: Architecture) -> None:
    cases = tuple(case for case in OTHER_CASES if case.architecture == architecture)
    assert len(cases) >= 4
    for served in serve(cases, tmp_path):
        for case in cases:
            check(case, served)
