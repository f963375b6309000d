"""A short request is tokenised where it is, a longer one in a thread."""

import threading
from collections.abc import Sequence

import pytest

from mlapi.predictions import EncodedText
from mlapi.tokenizing.tokenizer_executor import AT_ONCE_CHARS, TokenizerExecutor


class ThreadTokenizer:
    """Answers with the thread that it was called in."""

    ascii_fold = None

    def canonical_forms(self, texts: Sequence[str]) -> list[bytes]:
        return [text.encode() for text in texts]

    def encode(self, texts: Sequence[str]) -> list[EncodedText]:
        return [EncodedText((threading.get_ident(), len(text)), truncated=False) for text in texts]


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
