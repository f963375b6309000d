"""The terms of a text are those that scikit-learn finds, and follow from its canonical form."""

from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from mlapi.settings import LAB_BUNDLE
from mlapi.tokenizing.ngrams import ANALYSER, FILE, NgramTokenizer
from training.lab import TOLERANCE, Fitted, export, served

PIECES = [
    "a", "I", " ", "  ", "\t", "\n", "\x1c", "\x85", "\0", "\u00a0", "\u2028", "\u200b", "_", "__", "don't", "won't",
    "3D", "10/10", "GOOD", "good", "not", "Not", "caf\u00e9", "cafe\u0301", "\u0130stanbul", "\u1e9e", "stra\u00dfe",
    "\u03a3\u039f\u03a6\u039f\u03a3", "\u03a3", "\ufb01lm", "\u4e2d\u6587", "\u0e44\u0e17\u0e22",
    "\u0928\u0939\u0940\u0902", "\u212b\u212b", "\u00bd\u00b2", "\U0001d51e\U0001d51f", "\U0001f600", "-", ".", "!",
]  # fmt: skip

texts = st.one_of(
    st.lists(st.sampled_from(PIECES), max_size=12).map("".join),
    st.lists(st.sampled_from(PIECES), max_size=12).map(" ".join),
    st.text(max_size=40),
)

CORPUS = [
    "Good film, good fun \u2014 not bad",
    "not a good caf\u00e9 in \u0130stanbul",
    "\u03a3\u039f\u03a6\u039f\u03a3 3D GOOD __",
    "stra\u00dfe \u4e2d\u6587 \u0e44\u0e17\u0e22 10/10 don't",
    "bad bad bad film",
    "don't won't not good",
    "\u212b\u212b \u00bd\u00b2 \ufb01lm",
    "cafe\u0301 \U0001d51e\U0001d51f not bad",
    "\u1e9e good not",
    "film film",
    "\u0928\u0939\u0940\u0902 won't",
    "good 3D film",
]

analyse = TfidfVectorizer(**msgspec.to_builtins(ANALYSER)).build_analyzer()


@pytest.fixture(scope="module", params=[2, 3], ids=["two labels", "three labels"])
def fitted(request: pytest.FixtureRequest) -> Fitted:
    vectorizer = TfidfVectorizer(**msgspec.to_builtins(ANALYSER))
    features = vectorizer.fit_transform(CORPUS)
    classes = [index % request.param for index in range(len(CORPUS))]
    return Fitted(vectorizer, LogisticRegression(C=50.0, max_iter=1000).fit(features, classes))


@pytest.fixture(scope="module")
def folder(fitted: Fitted, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("exported")
    export(fitted, made)
    return made


@settings(max_examples=120, deadline=None)
@given(st.lists(texts, min_size=1, max_size=8))
@example(["", " ", "!", "unknown words", "good " * 500])
def test_the_answers_are_those_of_scikit_learn(fitted: Fitted, folder: Path, many: list[str]) -> None:
    ours, reference = served(folder, many), fitted.probabilities(many)
    assert np.abs(ours - reference).max() <= TOLERANCE
    # Where two labels are as likely as each other, rounding decides.
    top = np.sort(reference, axis=1)
    clear = top[:, -1] - top[:, -2] > TOLERANCE
    assert (ours.argmax(axis=1) == reference.argmax(axis=1))[clear].all()


@settings(max_examples=500, deadline=None)
@given(texts)
def test_the_terms_are_those_that_scikit_learn_finds(text: str) -> None:
    terms = analyse(text)
    known = sorted(set(terms))
    (encoded,) = NgramTokenizer(known).encode([text])
    assert [known[number - 1] for number in encoded.ids[1:]] == sorted(terms)
    assert (encoded.ids[0], encoded.truncated) == (0, False)


@settings(max_examples=500, deadline=None)
@given(texts)
@example("\u0130I \u03a3\u03a3")
def test_the_terms_of_a_text_follow_from_its_canonical_form(text: str) -> None:
    form = NgramTokenizer([]).normalise(text)
    assert analyse(form) == analyse(text)
    assert NgramTokenizer([]).normalise(form) == form
    assert NgramTokenizer([]).canonical_forms([text]) == [form.encode()]


def test_to_lower_a_character_twice_changes_nothing_more() -> None:
    lowered = [chr(code).lower() for code in range(0x110000)]
    assert [one for one in lowered if one.lower() != one] == []


@pytest.mark.parametrize(
    ("one", "other"),
    [("A GOOD film!", "good, film"), ("it 's  good", "It's (good)"), ("good\x00film", "good film")],
)
def test_what_cannot_change_the_terms_shares_a_form(one: str, other: str) -> None:
    tokenizer = NgramTokenizer.load(LAB_BUNDLE / FILE, None)
    assert tokenizer.normalise(one) == tokenizer.normalise(other)
    assert tokenizer.encode([one]) == tokenizer.encode([other])


@pytest.mark.parametrize(
    ("one", "other"), [("good film", "film good"), ("goodfilm", "good film"), ("caf\u00e9", "cafe")]
)
def test_what_can_does_not(one: str, other: str) -> None:
    tokenizer = NgramTokenizer.load(LAB_BUNDLE / FILE, None)
    assert tokenizer.normalise(one) != tokenizer.normalise(other)


def test_only_a_blank_text_has_nothing_to_read() -> None:
    tokenizer = NgramTokenizer.load(LAB_BUNDLE / FILE, None)
    assert [bool(tokenizer.normalise(text)) for text in ("", " \n\u3000", "!", "I", "\U0001f600")] == [
        False, False, True, True, True,
    ]  # fmt: skip


def test_a_text_of_any_length_is_read_to_its_end() -> None:
    tokenizer = NgramTokenizer.load(LAB_BUNDLE / FILE, None)
    long, longer = tokenizer.encode(["very good film " * 10_000, "very good film " * 10_000 + "dreadful"])
    assert len(longer.ids) > len(long.ids) > 50_000
    assert not longer.truncated
