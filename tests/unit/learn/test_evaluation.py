"""Opinions become judgements, reports and training sets; a biased sample is told from a random one."""

import json
import random
from collections.abc import Iterator
from typing import Any

import pytest

from mlapi.feedback.votes import Opinion, Sample, Served
from mlapi.learn.evaluation import Said, Subject, evaluate, from_served, latest_digest
from mlapi.learn.judgements import Agreement, judge
from mlapi.learn.report import in_words
from mlapi.learn.training_set import choose

LABELS = ("NEGATIVE", "POSITIVE")
MODEL, OTHER = "0f" * 16, "1e" * 16


def opinion(item: str, subject: str, label: str = "POSITIVE", **changes: Any) -> Opinion:  # noqa: ANN401  whatever an opinion has
    given = Opinion(item, subject, label, "POSITIVE", 0.9, MODEL, Sample.NONE, 1, f"text of {item}")
    return given._replace(**changes)


def served(item: str, label: str = "POSITIVE", digest: str = MODEL, sample: Sample = Sample.NONE) -> Served:
    return Served(item, digest, label, 0.9, sample)


def test_most_subjects_say_what_a_text_is_and_a_tie_says_nothing() -> None:
    votes = {"a": ["POSITIVE"], "b": ["POSITIVE", "NEGATIVE"], "c": ["POSITIVE", "NEGATIVE", "NEGATIVE"]}
    opinions = [opinion(item, f"s{n}", label) for item, labels in votes.items() for n, label in enumerate(labels)]
    assert [(found.item, found.label, found.agreement) for found in judge(opinions)] == [
        ("a", "POSITIVE", Agreement.SINGLE),
        ("b", None, Agreement.DISPUTED),
        ("c", "NEGATIVE", Agreement.AGREED),
    ]


def test_a_text_counts_once_by_text_and_as_often_as_it_has_opinions_by_opinion() -> None:
    opinions = [opinion("viral", f"s{number}", "POSITIVE") for number in range(8)]
    opinions += [opinion("one", "s0", "NEGATIVE"), opinion("two", "s0", "NEGATIVE")]
    report = evaluate(opinions, from_served([served("viral"), served("one"), served("two")], MODEL), LABELS)
    assert (report["opinions"], report["subjects"], report["texts"]["judged"]) == (10, 8, 3)
    assert report["by_text"]["agreement"]["value"] == pytest.approx(1 / 3)
    assert report["by_opinion"]["agreement"]["value"] == pytest.approx(0.8)
    assert report["by_text"]["confusion"] == {
        "NEGATIVE": {"NEGATIVE": 0, "POSITIVE": 2},
        "POSITIVE": {"NEGATIVE": 0, "POSITIVE": 1},
    }
    assert report["by_text"]["classes"]["POSITIVE"] == pytest.approx(
        {"precision": 1 / 3, "recall": 1.0, "f1": 0.5, "support": 1, "said": 3}
    )


def test_another_model_is_compared_on_the_texts_that_both_answered() -> None:
    opinions = [opinion(f"t{number:02}", "s", "POSITIVE") for number in range(20)]
    rows = [served(f"t{number:02}") for number in range(20)]
    rows += [served(f"t{number:02}", "NEGATIVE" if number < 8 else "POSITIVE", OTHER) for number in range(12)]
    report = evaluate(opinions, from_served(rows, MODEL), LABELS, from_served(rows, OTHER))
    against = report["against"]
    assert (against["texts"], against["only_this_right"], against["only_other_right"]) == (12, 8, 0)
    assert against["p_value"] == pytest.approx(2 * 0.5**8)
    assert "McNemar's exact p 0.0078" in in_words(report)


def test_a_report_about_nothing_says_so_and_is_json() -> None:
    report = evaluate([], Subject(MODEL, {}), LABELS, Subject(OTHER, {}))
    json.dumps(report, allow_nan=False)
    words = in_words(report)
    assert "nobody who was asked has answered" in words
    assert "nothing to compare" in words
    assert "no text that both have answered" in words
    assert latest_digest([]) is None


def test_labels_that_the_model_does_not_have_are_not_lost() -> None:
    report = evaluate([opinion("a", "s", "MIXED")], Subject("x", {"a": Said("POSITIVE", 0.9)}), LABELS)
    assert report["by_text"]["confusion"]["MIXED"]["POSITIVE"] == 1


def biased_feedback(texts: int, accuracy: float, share: float, seed: int) -> Iterator[tuple[Opinion, Served]]:
    """People who were not asked correct three wrong answers in ten, and confirm three right ones in a hundred."""
    drawn = random.Random(seed)  # noqa: S311  a simulation that can be repeated
    for number in range(texts):
        item = f"t{number:05}"
        right = drawn.random() < accuracy
        asked = drawn.random() < share
        speaks = drawn.random() < (0.9 if asked else 0.03 if right else 0.3)
        if speaks:
            sample = Sample.TEXTS if asked else Sample.NONE
            truth = "POSITIVE" if right else "NEGATIVE"
            yield opinion(item, f"s{drawn.randrange(500)}", truth, sample=sample), served(item, sample=sample)


@pytest.mark.parametrize("accuracy", [0.7, 0.85, 0.95])
def test_the_agreement_of_all_is_far_from_the_accuracy_which_the_asked_ones_tell(accuracy: float) -> None:
    pairs = list(biased_feedback(20_000, accuracy, share=0.05, seed=1))
    report = evaluate([pair[0] for pair in pairs], from_served([pair[1] for pair in pairs], MODEL), LABELS)
    naive, asked = report["by_text"]["agreement"], report["asked"]["texts"]
    assert asked["enough"]
    assert asked["accuracy"]["low"] <= accuracy <= asked["accuracy"]["high"]
    assert asked["accuracy"]["high"] - asked["accuracy"]["low"] < 0.07
    # The interval of the naive figure is narrow, and holds nothing but its error.
    assert naive["high"] < accuracy - 0.1


def test_who_was_asked_by_request_is_counted_for_the_model_that_asked() -> None:
    opinions = [opinion("a", f"s{number}", sample=Sample.REQUESTS) for number in range(40)]
    opinions += [opinion("b", f"s{number}", "NEGATIVE", sample=Sample.REQUESTS) for number in range(10)]
    opinions += [opinion("a", "old", "NEGATIVE", sample=Sample.REQUESTS, model_digest=OTHER)]
    report = evaluate(opinions, from_served([served("a"), served("b")], MODEL), LABELS)
    assert report["asked"]["requests"]["count"] == 50
    assert report["asked"]["requests"]["accuracy"]["value"] == pytest.approx(0.8)


def test_a_training_set_holds_what_is_known_and_kept_and_says_what_it_leaves_out() -> None:
    opinions = [
        *(opinion("agreed", subject) for subject in ("s1", "s2")),
        opinion("disputed", "s1"),
        opinion("disputed", "s2", "NEGATIVE"),
        opinion("forgotten", "s1", text=None),
        opinion("single", "s3", "NEGATIVE"),
    ]
    chosen = choose(opinions, subject_share=1.0)
    assert [json.loads(line) for line in chosen.lines.splitlines()] == [
        {"text": "text of agreed", "label": "POSITIVE", "item": "agreed", "subjects": 2, "agreed": 2},
        {"text": "text of single", "label": "NEGATIVE", "item": "single", "subjects": 1, "agreed": 1},
    ]
    assert chosen.labels == {"NEGATIVE": 1, "POSITIVE": 1}
    assert chosen.left_out == {"disputed": 1, "not kept": 1}
    assert choose(reversed(opinions), subject_share=1.0).digest == chosen.digest
    assert choose(opinions, single=False, subject_share=1.0).labels == {"POSITIVE": 1}


@pytest.mark.parametrize(("honest", "poisoned"), [(100, 30), (100, 1000), (19, 5)])
def test_no_subject_alone_makes_more_than_its_share(honest: int, poisoned: int) -> None:
    opinions = [opinion(f"h{number:04}", f"s{number}") for number in range(honest)]
    opinions += [opinion(f"p{number:04}", "poisoner", "NEGATIVE") for number in range(poisoned)]
    chosen = choose(opinions, subject_share=0.05)
    total = len(chosen.lines.splitlines())
    poison = chosen.labels.get("NEGATIVE", 0)
    assert 1 <= poison <= max(1, 0.05 * total)
    assert chosen.labels["POSITIVE"] == honest
    assert chosen.left_out["of one subject beyond its share"] == honest + poisoned - total


def test_a_poisoner_changes_nothing_where_others_have_an_opinion() -> None:
    opinions = [opinion(f"t{number}", f"s{subject}") for number in range(30) for subject in range(2)]
    opinions += [opinion(f"t{number}", "poisoner", "NEGATIVE") for number in range(30)]
    assert choose(opinions).labels == {"POSITIVE": 30}
