"""Tokenises short requests where they are, and others in a thread of its own."""

import asyncio
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from mlapi.predictions import EncodedText
from mlapi.tokenizing.base import Tokenizer

AT_ONCE_CHARS: Final = 512
"""Characters of a request that is tokenised on the event loop: about a hundred tokens, a fifth to half a millisecond. A
thread would take as long to be woken and to wake the loop, and longer where the model keeps the processors busy."""

_PART_CHARS: Final = 65_536


def parts(texts: Sequence[str]) -> Iterator[slice]:
    """Cut texts into runs that take a few milliseconds to tokenise; together they are all texts, in order."""
    start = chars = 0
    for index, text in enumerate(texts):
        chars += len(text)
        if chars >= _PART_CHARS:
            yield slice(start, index + 1)
            start, chars = index + 1, 0
    if start < len(texts):
        yield slice(start, len(texts))


class TokenizerExecutor:
    """One tokenizer, off the event loop where it would hold up others."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._encode = tokenizer.encode
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="tokenizer")

    async def encode(self, texts: Sequence[str]) -> list[EncodedText]:
        """Tokenise texts, truncating each as the model's own tokenizer does."""
        if sum(map(len, texts)) <= AT_ONCE_CHARS:
            return self._encode(texts)
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._encode, texts)

    def close(self) -> None:
        """Wait for the call in progress."""
        self._thread.shutdown()
