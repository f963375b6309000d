"""The client for programs with threads."""

import asyncio
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
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


def _wait(stopping: threading.Event, seconds: float) -> None:
    stopping.wait(seconds)


class Classifier:
    """A client of one model; to be closed, or used as a context manager. Threads may share it."""

    def __init__(
        self,
        url: str,
        *,
        key: Key = None,
        model_digest: str | None = None,
        retrying: Retrying | None = None,
        transport: httpx2.BaseTransport | None = None,
        clock: Callable[[], float] = time.monotonic,
        pause: Callable[[threading.Event, float], None] = _wait,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """Connect to nothing yet.

        Args:
            url: of the model, such as https://host/project.
            key: the API key, or what returns the one that is valid now.
            model_digest: the only model that may answer, by its digest or the first 12 or more digits of it.
            retrying: how long to wait, and how often to try again.
            transport: how requests are sent; None: over HTTP.
            clock: returns the time in seconds.
            pause: waits some seconds, or less if the event is set.
            jitter: returns a number from 0 to 1.

        Raises:
            ValueError: the URL is not that of a model.
        """
        self._requests = Requests(url, key, model_digest)
        self._retrying = retrying or Retrying()
        self._budget = Budget(self._retrying)
        self._http = httpx2.Client(transport=transport, follow_redirects=False)
        self._clock, self._pause, self._jitter = clock, pause, jitter
        self._never = threading.Event()

    def classify(self, text: str, **wishes: Unpack[Wishes]) -> Prediction:
        """Classify one text.

        Args:
            text: the text.
            wishes: what else is wanted: see `Wishes`.

        Raises:
            MlapiError: there is no answer.
        """
        options = Options(**wishes)
        reply = self._send(self._requests.predict([text], options, "predict"), self._never)
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
    ) -> Generator[Prediction, None, None]: ...

    @overload
    def classify_many(
        self,
        texts: Iterable[str],
        *,
        chunk: int = ...,
        concurrency: int = ...,
        return_errors: Literal[True],
        **wishes: Unpack[Wishes],
    ) -> Generator[Outcome, None, None]: ...

    def classify_many(
        self,
        texts: Iterable[str],
        *,
        chunk: int = 64,
        concurrency: int = 4,
        return_errors: bool = False,
        **wishes: Unpack[Wishes],
    ) -> Generator[Outcome, None, None]:
        """Classify any number of texts; yields the answers in their order, as they come.

        The texts are taken a few chunks ahead of the answers, so that they may be a file of any length.

        Args:
            texts: the texts.
            chunk: how many go into one request; fewer where the service takes fewer.
            concurrency: how many requests are under way together.
            return_errors: yield the error in the place of a text that the service does not take; else it is raised.
            wishes: as of `classify`.

        Raises:
            MlapiError: a chunk was not answered; `text` of an `ApiError` is the number of the text that it is about.
        """
        if concurrency < 1:
            msg = f"at least one request has to be under way, not {concurrency}"
            raise ValueError(msg)
        return self._many(Cutter(texts, chunk), concurrency, Options(**wishes), keep_errors=return_errors)

    @overload
    def classify_stream(
        self, texts: Iterable[str], *, return_errors: Literal[False] = ..., **wishes: Unpack[Wishes]
    ) -> Generator[Prediction, None, None]: ...

    @overload
    def classify_stream(
        self, texts: Iterable[str], *, return_errors: Literal[True], **wishes: Unpack[Wishes]
    ) -> Generator[Outcome, None, None]: ...

    def classify_stream(
        self, texts: Iterable[str], *, return_errors: bool = False, **wishes: Unpack[Wishes]
    ) -> Generator[Outcome, None, None]:
        """Classify any number of texts over one connection, as lines; yields the answers in their order, as they come.

        The texts are taken as fast as the service reads, while answers are taken. Nothing is repeated: where the
        stream breaks, those that were yielded are answered, and no others. Not for threads that run an event loop.

        Args:
            texts: the texts.
            return_errors: yield the error in the place of a text that is not answered; else it is raised.
            wishes: as of `classify`.

        Raises:
            MlapiError: a text was not answered, or the stream ended early; `text` of an `ApiError` is the number of the
                first text that has no answer.
        """
        options = Options(**wishes)
        with asyncio.Runner() as runner:
            answers = lines.stream(
                self._requests.lines(options),
                texts,
                timeout_s=self._retrying.timeout_s,
                may_be_empty=options.threshold is not None,
                keep_errors=return_errors,
            )

            async def following() -> Outcome | None:
                return await anext(answers, None)

            try:
                while (outcome := runner.run(following())) is not None:
                    yield outcome
            finally:
                runner.run(answers.aclose())

    def tokenize(self, texts: Sequence[str]) -> list[Tokens]:
        """Return how the model reads each of some texts; it is not asked for an answer.

        Raises:
            MlapiError: there is no answer.
        """
        return read_tokens(self._send(self._requests.tokenize(texts), self._never), len(texts))

    def explain(self, text: str, label: str | None = None) -> Explanation:
        """Return which words of a text speak for a label, the best one if none is named.

        Raises:
            MlapiError: there is no answer.
        """
        return read_explanation(self._send(self._requests.explain(text, label), self._never))

    def feedback(
        self,
        answer: Prediction | str,
        label: str,
        *,
        text: str | None = None,
        consent: bool = False,
        comment: str | None = None,
    ) -> str:
        """Say what a text is in your opinion; returns `created`, `replaced` or `unchanged`.

        Args:
            answer: a prediction with details, or its id.
            label: what the text is.
            text: the text; the service checks that it is the one of the answer.
            consent: whether the text and the comment may be kept.
            comment: for people to read; kept with consent only.

        Raises:
            MlapiError: the opinion was not taken.
        """
        outgoing = self._requests.feedback(answer, label, text=text, consent=consent, comment=comment)
        return read_opinion(self._send(outgoing, self._never))

    def model(self) -> Model:
        """Return which model is served.

        Raises:
            MlapiError: there is no answer.
        """
        return read_model(self._send(self._requests.get("model"), self._never))

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def __enter__(self) -> Self:
        """Use it."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close it."""
        self.close()

    def __repr__(self) -> str:
        return f"Classifier({self._requests.url!r})"

    def _many(
        self, cutter: Cutter, concurrency: int, options: Options, *, keep_errors: bool
    ) -> Generator[Outcome, None, None]:
        stopping = threading.Event()
        pool = ThreadPoolExecutor(concurrency, thread_name_prefix="mlapi-client")
        under_way: deque[Future[list[Outcome]]] = deque()
        try:
            more = True
            while more or under_way:
                while more and len(under_way) < concurrency:
                    chunk = cutter.next()
                    more = chunk is not None
                    if chunk is not None:
                        under_way.append(
                            pool.submit(self._chunk, chunk, cutter, options, stopping, keep_errors=keep_errors)
                        )
                if under_way:
                    yield from under_way.popleft().result()
        finally:
            # Who stops early waits for the requests under way, and for no pause before another attempt.
            stopping.set()
            pool.shutdown(cancel_futures=True)

    def _chunk(
        self, chunk: Chunk, cutter: Cutter, options: Options, stopping: threading.Event, *, keep_errors: bool
    ) -> list[Outcome]:
        asking = ask(chunk, cutter, keep_errors=keep_errors)
        try:
            texts = next(asking)
            while True:
                texts = asking.send(self._answer(texts, options, stopping))
        except StopIteration as done:
            outcomes: list[Outcome] = done.value
            return outcomes

    def _answer(self, texts: list[str], options: Options, stopping: threading.Event) -> list[Prediction] | ApiError:
        outgoing = self._requests.predict(texts, options, "bulk-predict")
        try:
            reply = self._send(outgoing, stopping)
        except ApiError as refused:
            return refused
        return read_predictions(reply, len(texts), may_be_empty=options.threshold is not None)

    def _send(self, outgoing: Outgoing, stopping: threading.Event) -> Reply:
        """Send a request until there is an answer; raise the last error when none is left or `stopping` is set."""
        attempts = Attempts(self._retrying, self._budget, self._clock, self._jitter)
        while True:
            try:
                reply = self._attempt(outgoing, attempts)
                if httpx2.codes.is_success(reply.status):
                    return reply
                raise read_refusal(reply)
            except MlapiError as error:
                self._pause(stopping, attempts.pause_after(error))
                if stopping.is_set():
                    raise

    def _attempt(self, outgoing: Outgoing, attempts: Attempts) -> Reply:
        headers = outgoing.headers | self._requests.authorization()
        try:
            with self._http.stream(
                outgoing.method, outgoing.url, content=outgoing.body, headers=headers, timeout=attempts.timeout_s
            ) as response:
                parts = []
                for part in response.iter_bytes():
                    attempts.check_time()
                    parts.append(part)
                return Reply(response.status_code, dict(response.headers), b"".join(parts))
        except httpx2.TimeoutException as error:
            msg = f"no answer in {self._retrying.timeout_s:g} s"
            raise TimedOutError(msg) from error
        except (httpx2.TransportError, httpx2.DecodingError) as error:
            msg = str(error) or type(error).__name__
            raise ConnectionFailedError(msg) from error
