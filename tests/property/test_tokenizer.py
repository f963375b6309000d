"""Texts with the same canonical form have the same token ids: the promise that the cache key stands on."""

from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

from mlapi.bundles.store import open_bundle
from mlapi.errors import BundleError
from mlapi.settings import DEFAULT_BUNDLE
from mlapi.tokenizing.tokenizer import FILE, HfTokenizer
from mlapi.tokenizing.tokenizer_executor import parts

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
PIECES = [
    *SPECIAL, "[sep]", "[Mask]", " ", "  ", "\t", "\n", "\r", "\x0b", "\x0c", "\x1c", "\x1f", "\x7f", "\x85", "\0",
    "\ufffd", "\u00a0", "\u2028", "\u3000", "\u200b", "\u00ad", "a", "A", "\u00e9", "e\u0301", "E\u0301",
    "\u0130", "\u1e9e", "\u00df", "\ufb01", "\u4e2d", "\u4e2d\u6587", "\u212b", "\u00c5", "!", "don't", "GOOD",
    "good", "\U0001f600",
]  # fmt: skip

texts = st.one_of(
    st.lists(st.sampled_from(PIECES), max_size=8).map("".join),
    st.text(max_size=30),
    st.text(st.characters(max_codepoint=127), max_size=30),
)


@pytest.fixture(scope="module")
def tokenizer() -> HfTokenizer:
    bundle = open_bundle(DEFAULT_BUNDLE)
    return HfTokenizer.load(bundle.file(FILE), bundle.manifest.max_tokens)


@pytest.fixture(scope="module")
def reference() -> Tokenizer:
    return Tokenizer.from_file(str(DEFAULT_BUNDLE / FILE))


@settings(max_examples=2000, deadline=None)
@given(texts)
@example("a\x0bb")
@example("[SEP] good")
@example("\u0130stanbul")
def test_the_ids_of_a_text_follow_from_its_canonical_form(
    tokenizer: HfTokenizer, reference: Tokenizer, text: str
) -> None:
    """Two texts with one form then have the same ids, because the ids are a function of the form alone."""
    form = tokenizer.normalise(text)
    from_form = form.removeprefix("\0") if form.startswith("\0") else form
    assert reference.encode(from_form).ids == reference.encode(text).ids


NORMALISERS = [
    normalizers.BertNormalizer(clean_text, chinese, accents, lowercase)
    for clean_text in (True, False)
    for chinese in (True, False)
    for accents in (None, True, False)
    for lowercase in (True, False)
]
CHARACTERS = [*map(chr, range(33, 127)), "\x1c", "\0", "\u4e2d", "\u00e9"]


@settings(max_examples=1000, deadline=None)
@given(texts, st.sampled_from(NORMALISERS))
@example("a\x1cb", NORMALISERS[-1])
@example("\0[S\u0301EP]", NORMALISERS[-3])
def test_the_same_holds_for_every_setting_of_the_normaliser(text: str, normaliser: normalizers.BertNormalizer) -> None:
    tokens = [*SPECIAL, *CHARACTERS, *(f"##{character}" for character in CHARACTERS)]
    whole = Tokenizer(models.WordPiece({token: index for index, token in enumerate(tokens)}, unk_token="[UNK]"))  # noqa: S106
    whole.normalizer = normaliser
    whole.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    whole.add_special_tokens(SPECIAL)
    tokenizer = HfTokenizer(whole, 512)
    form = tokenizer.normalise(text)
    from_form = form if form == text else form.removeprefix("\0")
    assert tokenizer.encode([from_form])[0].ids == tokenizer.encode([text])[0].ids or not form


@settings(max_examples=2000, deadline=None)
@given(texts, texts)
def test_texts_with_the_same_form_have_the_same_ids(tokenizer: HfTokenizer, one: str, other: str) -> None:
    if tokenizer.normalise(one) == tokenizer.normalise(other):
        assert tokenizer.encode([one]) == tokenizer.encode([other])


words = st.text(st.sampled_from("abcXYZ019.,'!-]~"), min_size=1, max_size=9)
plain_texts = st.lists(words, min_size=1, max_size=4).map(" ".join)


@settings(max_examples=1000, deadline=None)
@given(st.one_of(st.lists(plain_texts, max_size=80), st.lists(st.one_of(plain_texts, texts), max_size=80)))
@example(["plain"] * 40)
@example(["plain"] * 39 + ["[SEP]"])
@example([*["Two Words"] * 20, "\x7f", *["a"] * 20])
@example([*["a"] * 20, "", *["a"] * 20])
@example([*["a"] * 20, " b", *["a"] * 20, "c "])
@example([*["a"] * 20, "a\tb", "a  b", *["\u00e9"] * 20])
def test_the_forms_of_many_texts_are_those_of_each_alone(tokenizer: HfTokenizer, many: list[str]) -> None:
    assert tokenizer.canonical_forms(many) == [tokenizer.normalise(text).encode() for text in many]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Great  movie!", "great movie!"),
        ("  great movie!\n", "great\tmovie!"),
        ("caf\u00e9", "cafe\u0301"),
        ("GOOD", "good"),
        ("go\0od", "good"),
    ],
)
def test_what_the_model_cannot_tell_apart_shares_an_entry(tokenizer: HfTokenizer, one: str, other: str) -> None:
    assert tokenizer.normalise(one) == tokenizer.normalise(other)


@pytest.mark.parametrize(("one", "other"), [("a b", "a\x0bb"), ("[SEP]", "[sep]"), ("ab", "a b"), ("good!", "good")])
def test_what_it_can_tell_apart_does_not(tokenizer: HfTokenizer, one: str, other: str) -> None:
    assert tokenizer.normalise(one) != tokenizer.normalise(other)


@pytest.mark.parametrize("text", ["", " ", "\n\t", "\0", "\x07\x1b", "\ufffd", "\u3000"])
def test_a_text_with_nothing_to_read_has_an_empty_form(tokenizer: HfTokenizer, text: str) -> None:
    assert tokenizer.normalise(text) == ""


def test_long_texts_are_cut_where_the_model_cuts_them_and_say_so(tokenizer: HfTokenizer) -> None:
    short, long = tokenizer.encode(["good " * 510, "good " * 511])
    assert (len(short.ids), short.truncated) == (512, False)
    assert (len(long.ids), long.truncated, long.ids) == (512, True, short.ids)


@given(st.lists(st.integers(0, 70_000), max_size=20))
def test_parts_are_all_texts_in_order_and_none_is_much_too_large(lengths: list[int]) -> None:
    texts = ["x" * length for length in lengths]
    cut = [texts[part] for part in parts(texts)]
    assert [text for part in cut for text in part] == texts
    assert all(part and sum(map(len, part[:-1])) < 65_536 for part in cut)


def test_other_kinds_of_tokenizer_keep_texts_as_they_are() -> None:
    """White space and case matter to most of them."""
    whole = Tokenizer(models.WordLevel({"a": 0, "[UNK]": 1}, unk_token="[UNK]"))  # noqa: S106  not a password
    whole.pre_tokenizer = pre_tokenizers.Whitespace()
    whole.normalizer = normalizers.NFC()
    tokenizer = HfTokenizer(whole, 8)
    assert tokenizer.normalise(" A  b") == " A  b"
    assert tokenizer.normalise(" \n ") == ""
    assert tokenizer.canonical_forms([" A  b", "A"] * 20) == [b" A  b", b"A"] * 20


def test_a_file_that_is_no_tokenizer_is_refused(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text("{}")
    with pytest.raises(BundleError, match="not a tokenizer"):
        HfTokenizer.load(tmp_path / FILE, 512)
