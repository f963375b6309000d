"""Tokenises short requests where they are, and others in a thread of its own."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from mlapi.predictions import EncodedText, TokenizedText
from mlapi.tokenizing.base import ReadingTokenizer

T = TypeVar("T")

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

    def __init__(self, tokenizer: ReadingTokenizer) -> None:
        self._tokenizer = tokenizer
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="tokenizer")

    async def encode(self, texts: Sequence[str]) -> list[EncodedText]:
        """Tokenise texts, truncating each as the model's own tokenizer does."""
        return await self._run(self._tokenizer.encode, texts)

    async def inspect(self, texts: Sequence[str]) -> list[TokenizedText]:
        """Tokenise texts, and say what each token is."""
        return await self._run_parts(self._tokenizer.inspect, texts)

    async def windows(self, texts: Sequence[str]) -> list[list[str]]:
        """Cut texts that are longer than the model reads into windows."""
        return await self._run_parts(self._tokenizer.windows, texts)

    async def _run(self, work: Callable[[Sequence[str]], list[T]], texts: Sequence[str]) -> list[T]:
        if sum(map(len, texts)) <= AT_ONCE_CHARS:
            return work(texts)
        return await asyncio.get_running_loop().run_in_executor(self._thread, work, texts)

    async def _run_parts(self, work: Callable[[Sequence[str]], list[T]], texts: Sequence[str]) -> list[T]:
        """Work on some texts at a time, so that others come in between."""
        done: list[T] = []
        for part in parts(texts):
            done += await self._run(work, texts[part])
        return done

    def close(self) -> None:
        """Wait for the call in progress."""
        self._thread.shutdown()
