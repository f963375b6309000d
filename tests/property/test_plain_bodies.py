"""What is read from a body's bytes is what decoding it gives, or nothing."""

import json

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

from mlapi.bundles.store import open_bundle
from mlapi.dialects.base import TextLimits
from mlapi.dialects.native_body import read_texts
from mlapi.server.plain_bodies import read_forms
from mlapi.settings import DEFAULT_BUNDLE
from mlapi.tokenizing.tokenizer import FILE, HfTokenizer

LIMITS = TextLimits(texts=1_000, chars=100_000)
SEPARATORS = [(",", ":"), (", ", ": "), (",", ": "), (" ,", " :")]
PIECES = [
    "{", '{"text":', '{"text": [', '{"TEXT":["',
    '"', '","', '", "', '":', ",", ":", "[", "]", "}", '"]}', '"}', " ", "  ",
    "a", "Word", "[SEP]", "\\", '\\"', "\\u0041", "\n", "\x7f", "\u00e9", "text",
]  # fmt: skip

words = st.text(st.sampled_from("abcXYZ019.,'!-]~{}:/"), min_size=1, max_size=9)
plain_texts = st.lists(words, min_size=1, max_size=4).map(" ".join)
pieced_texts = st.lists(st.sampled_from(PIECES), max_size=6).map("".join)


@pytest.fixture(scope="module")
def tokenizer() -> HfTokenizer:
    bundle = open_bundle(DEFAULT_BUNDLE)
    return HfTokenizer.load(bundle.file(FILE), bundle.manifest.max_tokens)


def forms(tokenizer: HfTokenizer, body: bytes) -> list[bytes] | None:
    assert tokenizer.ascii_fold
    return read_forms(body, tokenizer.ascii_fold)


def decoded(tokenizer: HfTokenizer, body: bytes) -> list[bytes]:
    return [tokenizer.normalise(text).encode() for text in read_texts(body, LIMITS).items]


def written(texts: list[str] | str, separators: tuple[str, str], *, ascii_only: bool) -> bytes:
    return json.dumps({"text": texts}, separators=separators, ensure_ascii=ascii_only).encode()


@settings(max_examples=500, deadline=None)
@given(
    st.one_of(st.lists(st.one_of(plain_texts, pieced_texts, st.text(max_size=20)), max_size=5), pieced_texts),
    st.sampled_from(SEPARATORS),
    st.booleans(),
)
def test_forms_of_a_valid_body_are_those_of_its_texts(
    tokenizer: HfTokenizer,
    texts: list[str] | str,
    separators: tuple[str, str],
    ascii_only: bool,  # noqa: FBT001  drawn
) -> None:
    body = written(texts, separators, ascii_only=ascii_only)
    found = forms(tokenizer, body)
    if found is not None:
        assert found == decoded(tokenizer, body)
        assert all(found)


@settings(max_examples=1000, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=14).map("".join))
@example('{"text":["a","]}')
@example('{"text":["a"]}"]}')
@example('{"text":"a"]}')
@example('{"text":["a"}')
@example('{"text":["a""b"]}')
@example('{"text":["a"],"text":["b"]}')
@example('{"text":[]}')
@example('{"text":"[a"}')
@example('{"text":["[a"]}')
@example('{"text"]}')
@example('{"text":["a" , "b"]}')
def test_of_an_invalid_body_nothing_is_read(tokenizer: HfTokenizer, body: str) -> None:
    for tail in ("", '"]}', '"}'):
        whole = (body + tail).encode()
        found = forms(tokenizer, whole)
        if found is not None:
            assert found == decoded(tokenizer, whole), "and decoding raises, if it is not valid"


@settings(max_examples=200, deadline=None)
@given(st.one_of(st.lists(plain_texts, min_size=1, max_size=5), plain_texts), st.sampled_from(SEPARATORS[:3]))
def test_nothing_more_is_needed_for_a_plain_body(
    tokenizer: HfTokenizer, texts: list[str] | str, separators: tuple[str, str]
) -> None:
    body = written(texts, separators, ascii_only=True)
    assert forms(tokenizer, body) == decoded(tokenizer, body)


def test_a_tokenizer_that_looks_at_case_or_space_has_no_fold() -> None:
    whole = Tokenizer(models.WordLevel({"a": 0, "[UNK]": 1}, unk_token="[UNK]"))  # noqa: S106  not a password
    whole.normalizer = normalizers.NFC()
    assert HfTokenizer(whole, 8).ascii_fold is None


def test_case_stays_where_the_tokenizer_keeps_it() -> None:
    cased = Tokenizer(models.WordPiece({"[UNK]": 0, "A": 1}, unk_token="[UNK]"))  # noqa: S106  as above
    cased.normalizer = normalizers.BertNormalizer(lowercase=False)
    cased.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    assert forms(HfTokenizer(cased, 8), b'{"text":["A b"]}') == [b"A b"]


def test_a_token_that_opens_with_anything_but_a_bracket_takes_a_closer_look() -> None:
    marked = Tokenizer(models.WordPiece({"[UNK]": 0, "<s>": 1}, unk_token="[UNK]"))  # noqa: S106  as above
    marked.normalizer = normalizers.BertNormalizer()
    marked.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    marked.add_special_tokens(["<s>"])
    assert HfTokenizer(marked, 8).ascii_fold is None
