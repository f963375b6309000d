"""The client for programs with asyncio."""

import asyncio
import random
import time
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Iterable, Sequence
from types import TracebackType
from typing import Literal, Self, Unpack, overload

import httpx2

from mlapi_client import lines
from mlapi_client.answers import (
    Explanation,
    Model,
    Prediction,
    Reply,
    Tokens,
    read_explanation,
    read_model,
    read_opinion,
    read_predictions,
    read_refusal,
    read_tokens,
)
from mlapi_client.chunks import Chunk, Cutter, Outcome, ask
from mlapi_client.errors import ApiError, ConnectionFailedError, MlapiError, TimedOutError
from mlapi_client.requests import Key, Options, Outgoing, Requests
from mlapi_client.retrying import Attempts, Budget, Retrying
from mlapi_client.wishes import Wishes


class AsyncClassifier:
    """What `Classifier` is, for one event loop: see there for what the methods do and raise."""

    def __init__(
        self,
        url: str,
        *,
        key: Key = None,
        model_digest: str | None = None,
        retrying: Retrying | None = None,
        transport: httpx2.AsyncBaseTransport | None = None,
        clock: Callable[[], float] = time.monotonic,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """Connect to nothing yet; the arguments are those of `Classifier`.

        Raises:
            ValueError: the URL is not that of a model.
        """
        self._requests = Requests(url, key, model_digest)
        self._retrying = retrying or Retrying()
        self._budget = Budget(self._retrying)
        self._http = httpx2.AsyncClient(transport=transport, follow_redirects=False)
        self._clock, self._pause, self._jitter = clock, pause, jitter

    async def classify(self, text: str, **wishes: Unpack[Wishes]) -> Prediction:
        """Classify one text."""
        options = Options(**wishes)
        reply = await self._send(self._requests.predict([text], options, "predict"))
        return read_predictions(reply, 1, may_be_empty=options.threshold is not None)[0]

    @overload
    def classify_many(
        self,
        texts: Iterable[str],
        *,
        chunk: int = ...,
        concurrency: int = ...,
        return_errors: Literal[False] = ...,
        **wishes: Unpack[Wishes],
    ) -> AsyncGenerator[Prediction, None]: ...

    @overload
    def classify_many(
        self,
        texts: Iterable[str],
        *,
        chunk: int = ...,
        concurrency: int = ...,
        return_errors: Literal[True],
        **wishes: Unpack[Wishes],
    ) -> AsyncGenerator[Outcome, None]: ...

    def classify_many(
        self,
        texts: Iterable[str],
        *,
        chunk: int = 64,
        concurrency: int = 4,
        return_errors: bool = False,
        **wishes: Unpack[Wishes],
    ) -> AsyncGenerator[Outcome, None]:
        """Classify any number of texts; yields the answers in their order, as they come."""
        if concurrency < 1:
            msg = f"at least one request has to be under way, not {concurrency}"
            raise ValueError(msg)
        return self._many(Cutter(texts, chunk), concurrency, Options(**wishes), keep_errors=return_errors)

    @overload
    def classify_stream(
        self,
        texts: Iterable[str] | AsyncIterable[str],
        *,
        return_errors: Literal[False] = ...,
        **wishes: Unpack[Wishes],
    ) -> AsyncGenerator[Prediction, None]: ...

    @overload
    def classify_stream(
        self, texts: Iterable[str] | AsyncIterable[str], *, return_errors: Literal[True], **wishes: Unpack[Wishes]
    ) -> AsyncGenerator[Outcome, None]: ...

    def classify_stream(
        self, texts: Iterable[str] | AsyncIterable[str], *, return_errors: bool = False, **wishes: Unpack[Wishes]
    ) -> AsyncGenerator[Outcome, None]:
        """Classify any number of texts over one connection, as lines; yields the answers in their order, as they come.

        The texts may be made while answers are taken.
        """
        options = Options(**wishes)
        return lines.stream(
            self._requests.lines(options),
            texts,
            timeout_s=self._retrying.timeout_s,
            may_be_empty=options.threshold is not None,
            keep_errors=return_errors,
        )

    async def tokenize(self, texts: Sequence[str]) -> list[Tokens]:
        """Return how the model reads each of some texts; it is not asked for an answer."""
        return read_tokens(await self._send(self._requests.tokenize(texts)), len(texts))

    async def explain(self, text: str, label: str | None = None) -> Explanation:
        """Return which words of a text speak for a label, the best one if none is named."""
        return read_explanation(await self._send(self._requests.explain(text, label)))

    async def feedback(
        self,
        answer: Prediction | str,
        label: str,
        *,
        text: str | None = None,
        consent: bool = False,
        comment: str | None = None,
    ) -> str:
        """Say what a text is in your opinion; returns `created`, `replaced` or `unchanged`."""
        outgoing = self._requests.feedback(answer, label, text=text, consent=consent, comment=comment)
        return read_opinion(await self._send(outgoing))

    async def model(self) -> Model:
        """Return which model is served."""
        return read_model(await self._send(self._requests.get("model")))

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        """Use it."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close it."""
        await self.aclose()

    def __repr__(self) -> str:
        return f"AsyncClassifier({self._requests.url!r})"

    async def _many(
        self, cutter: Cutter, concurrency: int, options: Options, *, keep_errors: bool
    ) -> AsyncGenerator[Outcome, None]:
        under_way: deque[asyncio.Task[list[Outcome]]] = deque()
        try:
            more = True
            while more or under_way:
                while more and len(under_way) < concurrency:
                    chunk = cutter.next()
                    more = chunk is not None
                    if chunk is not None:
                        asking = self._chunk(chunk, cutter, options, keep_errors=keep_errors)
                        under_way.append(asyncio.create_task(asking))
                if under_way:
                    for outcome in await under_way[0]:
                        yield outcome
                    under_way.popleft()
        finally:
            for task in under_way:
                task.cancel()
            await asyncio.gather(*under_way, return_exceptions=True)

    async def _chunk(self, chunk: Chunk, cutter: Cutter, options: Options, *, keep_errors: bool) -> list[Outcome]:
        asking = ask(chunk, cutter, keep_errors=keep_errors)
        try:
            texts = next(asking)
            while True:
                texts = asking.send(await self._answer(texts, options))
        except StopIteration as done:
            outcomes: list[Outcome] = done.value
            return outcomes

    async def _answer(self, texts: list[str], options: Options) -> list[Prediction] | ApiError:
        outgoing = self._requests.predict(texts, options, "bulk-predict")
        try:
            reply = await self._send(outgoing)
        except ApiError as refused:
            return refused
        return read_predictions(reply, len(texts), may_be_empty=options.threshold is not None)

    async def _send(self, outgoing: Outgoing) -> Reply:
        """Send a request until there is an answer; raise the last error when no further attempt is allowed."""
        attempts = Attempts(self._retrying, self._budget, self._clock, self._jitter)
        while True:
            try:
                reply = await self._attempt(outgoing, attempts)
                if httpx2.codes.is_success(reply.status):
                    return reply
                raise read_refusal(reply)
            except MlapiError as error:
                pause_s = attempts.pause_after(error)
            await self._pause(pause_s)

    async def _attempt(self, outgoing: Outgoing, attempts: Attempts) -> Reply:
        headers = outgoing.headers | self._requests.authorization()
        timeout_s = attempts.timeout_s
        try:
            async with asyncio.timeout(timeout_s):
                response = await self._http.request(
                    outgoing.method, outgoing.url, content=outgoing.body, headers=headers, timeout=timeout_s
                )
                return Reply(response.status_code, dict(response.headers), response.content)
        except (httpx2.TimeoutException, TimeoutError) as error:
            msg = f"no answer in {timeout_s:.3g} s"
            raise TimedOutError(msg) from error
        except (httpx2.TransportError, httpx2.DecodingError) as error:
            msg = str(error) or type(error).__name__
            raise ConnectionFailedError(msg) from error
