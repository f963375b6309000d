"""A short request is tokenised where it is, a longer one in a thread."""

import threading
from collections.abc import Sequence

import pytest

from mlapi.predictions import EncodedText, TokenizedText
from mlapi.tokenizing.tokenizer_executor import AT_ONCE_CHARS, TokenizerExecutor


class ThreadTokenizer:
    """Answers with the thread that it was called in."""

    ascii_fold = None

    def canonical_forms(self, texts: Sequence[str]) -> list[bytes]:
        return [text.encode() for text in texts]

    def encode(self, texts: Sequence[str]) -> list[EncodedText]:
        return [EncodedText((threading.get_ident(), len(text)), truncated=False) for text in texts]

    def inspect(self, texts: Sequence[str]) -> list[TokenizedText]:
        return [TokenizedText(item.ids, ("", ""), None, truncated=False) for item in self.encode(texts)]

    def windows(self, texts: Sequence[str]) -> list[list[str]]:
        return [[str(threading.get_ident())] for _ in texts]


@pytest.mark.parametrize(
    ("texts", "here"),
    [
        (["short"], True),
        (["a" * AT_ONCE_CHARS], True),
        (["a" * (AT_ONCE_CHARS + 1)], False),
        (["a" * 200, "b" * 200, "c" * 200], False),
    ],
)
async def test_a_request_is_tokenised_here_if_all_of_it_is_short(texts: list[str], *, here: bool) -> None:
    executor = TokenizerExecutor(ThreadTokenizer())
    try:
        encoded = await executor.encode(texts)
    finally:
        executor.close()
    assert [text.ids[1] for text in encoded] == [len(text) for text in texts]
    assert {text.ids[0] == threading.get_ident() for text in encoded} == {here}


async def test_what_is_inspected_or_cut_is_so_too() -> None:
    executor = TokenizerExecutor(ThreadTokenizer())
    try:
        texts = ["short", "a" * 70_000, "b" * 70_000]
        assert [item.ids[1] for item in await executor.inspect(texts)] == [len(text) for text in texts]
        assert await executor.windows(["short"]) == [[str(threading.get_ident())]]
        assert await executor.windows(texts) != [[str(threading.get_ident())]] * 3
    finally:
        executor.close()
