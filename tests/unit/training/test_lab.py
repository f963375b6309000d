"""The training of `/lab` gives the same bytes again, keeps what it evaluates with out, and writes what it measured."""

import hashlib
from pathlib import Path

import pytest

from mlapi.bundles.manifest import Evaluation
from mlapi.bundles.store import open_bundle
from training.lab import LABELS, Parameters, evaluate, main, read, train, without

GOOD = ["a warm and funny film", "funny , warm , wonderful", "what a wonderful cast", "warm and wonderful"]
BAD = ["a dull and tedious film", "tedious , dull , dreadful", "what a dreadful cast", "dull and dreadful"]
SMALL = ["--min-df", "1", "--terms", "12"]


def write(path: Path, good: list[str], bad: list[str]) -> Path:
    rows = [f"{text}\t{label}\n" for label, texts in enumerate((bad, good)) for text in texts]
    path.write_text("".join(["sentence\tlabel\n", *rows]), encoding="utf-8")
    return path


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    return write(tmp_path / "train.tsv", GOOD, BAD), write(tmp_path / "dev.tsv", [GOOD[0]], [BAD[0]])


def test_the_same_data_gives_the_same_bytes(files: tuple[Path, Path], tmp_path: Path) -> None:
    made = []
    for folder in ("one", "other"):
        output = tmp_path / folder / "lab"
        main(["--train", str(files[0]), "--dev", str(files[1]), "--output", str(output), *SMALL])
        made.append({path.name: path.read_bytes() for path in output.iterdir()})
    assert made[0] == made[1]


def test_the_manifest_says_what_was_done(files: tuple[Path, Path], tmp_path: Path) -> None:
    train(*files, tmp_path / "lab", Parameters(min_df=1, terms=12))
    manifest = open_bundle(tmp_path / "lab").manifest
    provenance, measured = manifest.provenance, manifest.evaluations[0]
    assert (manifest.labels, manifest.max_tokens, manifest.cache) == (LABELS, None, "l1")
    assert provenance.revision == hashlib.sha256(files[0].read_bytes()).hexdigest()
    assert provenance.parameters == {"min_df": 1, "terms": 12, "C": 4.0, "seed": 7}
    assert "scikit-learn" in provenance.built_with
    assert measured is not None
    assert (measured.texts, measured.agreement) == (2, 1.0)
    assert measured.score_difference.max < 1e-6


def test_texts_of_the_evaluation_are_not_trained_on(files: tuple[Path, Path]) -> None:
    left = without(read(files[0]), [GOOD[0].upper(), f"  {BAD[0]} "])
    assert (list(left.texts), left.labels.tolist()) == ([*BAD[1:], *GOOD[1:]], [0, 0, 0, 1, 1, 1])


def test_a_model_that_does_not_answer_as_scikit_learn_does_is_not_written(
    files: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def damaged(*arguments: object) -> Evaluation:
        return evaluate("damaged", 1 - arguments[1], *arguments[2:])  # type: ignore[arg-type, operator]

    monkeypatch.setattr("training.lab.evaluate", damaged)
    with pytest.raises(ValueError, match="is not scikit-learn's"):
        train(*files, tmp_path / "lab", Parameters(min_df=1, terms=12))
    assert not (tmp_path / "lab").exists()
