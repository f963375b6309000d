"""The figures that documentation shows: they are measured as it says, and the page is filled from them alone."""

from pathlib import Path

import numpy as np
import pytest
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import MultinomialNB

from mlapi.settings import LAB_BUNDLE
from training import comparison, judging, languages
from training.lab import Texts
from training.publish import TABLES, fill
from training.sample import make_up
from training.stages import RESULTS, TrainingError, order, parser

ROWS = make_up(300)
TRAIN = Texts([text for text, _ in ROWS[:200]], np.array([label for _, label in ROWS[:200]]))
TEST = Texts([text for text, _ in ROWS[200:]], np.array([label for _, label in ROWS[200:]]))


def test_every_classifier_meets_all_features_and_the_best_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        comparison, "VECTORISERS", {"two": lambda: CountVectorizer(max_features=2), "all": CountVectorizer}
    )
    monkeypatch.setattr(comparison, "CLASSIFIERS", {"bayes": MultinomialNB, "regression": LogisticRegression})
    rows = comparison.compare(TRAIN, TEST, ("NEGATIVE", "POSITIVE"))
    assert {(row["features"], row["classifier"]) for row in rows} == {
        (features, name) for features in ("two", "all") for name in ("bayes", "regression")
    }
    assert rows[0]["features"] == "all"
    shares = [row["accuracy"]["value"] for row in rows]
    assert shares == sorted(shares, reverse=True)
    for row in rows:
        assert row["accuracy"]["low"] < row["accuracy"]["value"] < row["accuracy"]["high"]
        assert sum(recall["of"] for recall in row["recall"].values()) == row["accuracy"]["of"] == 100


def test_a_model_without_a_neutral_label_is_not_asked_for_it(tmp_path: Path) -> None:
    for language in languages.LANGUAGES:
        text = "text\tlabel\nterrible\t0\nwonderful\t0\nit is a table\t1\nwonderful\t2\n"
        (tmp_path / f"{language}.val.tsv").write_text(text, encoding="utf-8")
    found = languages.measure(LAB_BUNDLE, tmp_path)
    assert found["labels"] == ["NEGATIVE", "POSITIVE"]
    assert {row["accuracy"]["of"] for row in found["languages"].values()} == {3}
    assert {row["accuracy"]["hits"] for row in found["languages"].values()} == {2}
    assert found["languages"]["hindi"]["recall"]["NEGATIVE"]["value"] == 0.5


def test_a_bundle_with_other_labels_is_not_judged(tmp_path: Path) -> None:
    for name in ("sst5/dev.tsv", *(f"umsab/{language}.val.tsv" for language in languages.LANGUAGES)):
        (tmp_path / "data" / name).parent.mkdir(parents=True, exist_ok=True)
        labels = range(1, 6) if name.startswith("sst5") else range(3)
        rows = "".join(f"text {label}\t{label}\n" for label in labels)
        (tmp_path / "data" / name).write_text(f"text\tlabel\n{rows}", encoding="utf-8")
    given = parser("judging", "").parse_args(["--results", str(tmp_path), "--shared", str(tmp_path)])
    with pytest.raises(TrainingError, match="is not a bundle with the labels NEGATIVE, NEUTRAL, POSITIVE"):
        judging.judge_bundle(LAB_BUNDLE, order("lab-three", given))


def test_a_page_without_its_marks_is_refused() -> None:
    marks = "".join(f"<!-- {name} -->\n<!-- /{name} -->\n" for name in TABLES)
    assert "| BoW, 50 words |" in fill(marks, RESULTS)
    with pytest.raises(ValueError, match="<!-- languages -->"):
        fill(marks.replace("languages", "tongues"), RESULTS)
