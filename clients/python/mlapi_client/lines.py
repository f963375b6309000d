"""Sends texts as lines and reads their answers meanwhile, over one connection of its own (HTTP/1.1).

httpx2 sends a whole body before it reads, which a stream of lines does not bear: both sides would wait for each other.
"""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Iterable
from dataclasses import dataclass
from typing import Final, cast
from urllib.parse import urlsplit

import h11
import httpx2

from mlapi_client.answers import Prediction, Reply, read_line, read_refusal
from mlapi_client.errors import ApiError, ConnectionFailedError, TimedOutError, api_error
from mlapi_client.requests import Outgoing

_READ: Final = 65_536
_OK: Final = 200

_AT_ONCE: Final = 16
"""So many texts are sent before answers are looked for."""


@dataclass(slots=True)
class _Sent:
    """How far a stream is.

    Attributes:
        texts: how many were taken.
        answered: how many have an answer.
        all: whether no more will be taken.
        fault: what went wrong with taking them.
    """

    texts: int = 0
    answered: int = 0
    all: bool = False
    fault: Exception | None = None


async def stream(
    outgoing: Outgoing,
    texts: Iterable[str] | AsyncIterable[str],
    *,
    timeout_s: float,
    may_be_empty: bool,
    keep_errors: bool,
) -> AsyncGenerator[Prediction | ApiError, None]:
    """Yield the answer to each text, in their order, while further texts are taken and sent.

    Args:
        outgoing: the request, without its body.
        texts: taken as fast as the service reads.
        timeout_s: how long the connection may take, and an answer that is due.
        may_be_empty: whether an answer may have no labels.
        keep_errors: yield the error in the place of a text that is not answered; else it is raised.

    Raises:
        ApiError: a text was not answered, or the service ended the stream; `text` is the first that has no answer.
        ConnectionFailedError: there is no connection, or it broke.
        TimedOutError: an answer that was due did not come.
        UnexpectedAnswerError: something else than answers came.
    """
    if isinstance(texts, str):
        msg = "one text is classified by `classify`; this takes several"
        raise TypeError(msg)
    sent = _Sent()
    reader, writer = await _connect(outgoing.url, timeout_s)
    http = h11.Connection(h11.CLIENT)
    sending = asyncio.create_task(_send(http, writer, outgoing, texts, sent))
    try:
        last: ApiError | None = None
        async for digest, line in _answers(http, reader, sent, timeout_s):
            if last is not None:  # others follow, so it is about its own text alone
                if not keep_errors:
                    raise last
                yield last
                last = None
            outcome = read_line(line, digest, may_be_empty=may_be_empty)
            if isinstance(outcome, ApiError):
                last = api_error(outcome.problem, sent.answered)
            else:
                yield outcome
            sent.answered += 1
        if sent.fault is not None:
            raise sent.fault
        if last is not None:
            if not keep_errors or not (sent.all and sent.answered == sent.texts):
                raise last
            yield last
        elif not (sent.all and sent.answered == sent.texts):
            msg = f"the stream ended after {sent.answered} answers to {sent.texts} texts or more"
            raise ConnectionFailedError(msg)
    finally:
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
        writer.close()


async def _connect(url: str, timeout_s: float) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    parts = urlsplit(url)
    secure = httpx2.create_ssl_context() if parts.scheme == "https" else None
    port = parts.port or (443 if secure else 80)
    try:
        async with asyncio.timeout(timeout_s):
            return await asyncio.open_connection(parts.hostname, port, ssl=secure)
    except TimeoutError as error:
        msg = f"no connection in {timeout_s:g} s"
        raise TimedOutError(msg) from error
    except OSError as error:
        raise ConnectionFailedError(str(error)) from error


async def _send(
    http: h11.Connection,
    writer: asyncio.StreamWriter,
    outgoing: Outgoing,
    texts: Iterable[str] | AsyncIterable[str],
    sent: _Sent,
) -> None:
    parts = urlsplit(outgoing.url)
    target = f"{parts.path}?{parts.query}" if parts.query else parts.path
    headers = {"host": parts.netloc, **outgoing.headers, "transfer-encoding": "chunked"}
    try:
        _write(http, writer, h11.Request(method=outgoing.method, target=target, headers=[*headers.items()]))
        async for line in _lines(texts, sent):
            sent.texts += 1
            _write(http, writer, h11.Data(line))
            await writer.drain()
            if not sent.texts % _AT_ONCE:
                # While the service reads on, `drain` waits for nothing, and nobody would take the answers.
                await asyncio.sleep(0)
        if sent.fault is not None:
            writer.close()
            return
        sent.all = True
        _write(http, writer, h11.EndOfMessage())
        await writer.drain()
    except OSError:
        pass  # The connection broke: `_event` meets that, too, and raises it where the answers are taken.


def _line(text: str) -> bytes:
    if not isinstance(text, str):
        msg = f"a text must be a string, not {type(text).__name__}"
        raise TypeError(msg)
    return json.dumps({"text": text}).encode() + b"\n"


def _write(http: h11.Connection, writer: asyncio.StreamWriter, event: h11.Event) -> None:
    writer.write(http.send(event) or b"")


async def _lines(texts: Iterable[str] | AsyncIterable[str], sent: _Sent) -> AsyncIterator[bytes]:
    """Yield the line of each text, until there is none or the caller's iterator raised, which `sent` tells then."""
    try:
        if isinstance(texts, AsyncIterable):
            async for text in texts:
                yield _line(text)
            return
        for text in texts:
            yield _line(text)
    except Exception as error:  # noqa: BLE001  `stream` raises it where the caller takes the answers
        sent.fault = error


async def _answers(
    http: h11.Connection,
    reader: asyncio.StreamReader,
    sent: _Sent,
    timeout_s: float,
) -> AsyncGenerator[tuple[str, bytes], None]:
    """Yield each line of the answer, with the digest of the model that gave it.

    Raises:
        ApiError: the request as a whole was refused.
    """
    reply = Reply(0, {}, b"")
    rest = b""
    while True:
        event = await _event(http, reader, sent, timeout_s)
        if isinstance(event, h11.Response):
            headers = {name.decode(): value.decode("latin-1") for name, value in event.headers}
            reply = Reply(event.status_code, headers, b"")
        elif isinstance(event, h11.Data):
            rest += event.data
            if reply.status == _OK:
                *lines, rest = rest.split(b"\n")
                for line in lines:
                    yield reply.headers.get("model-digest", ""), line
        elif isinstance(event, h11.EndOfMessage):
            if reply.status != _OK:
                raise read_refusal(Reply(reply.status, reply.headers, rest))
            return


async def _event(
    http: h11.Connection,
    reader: asyncio.StreamReader,
    sent: _Sent,
    timeout_s: float,
) -> h11.Event:
    """Return what came next."""
    try:
        while True:
            event = http.next_event()
            if event is not h11.NEED_DATA:
                return cast("h11.Event", event)
            due = sent.texts > sent.answered or sent.all
            try:
                async with asyncio.timeout(timeout_s):
                    http.receive_data(await reader.read(_READ))
            except TimeoutError as error:
                if due:
                    msg = f"no answer in {timeout_s:g} s"
                    raise TimedOutError(msg) from error
    except (h11.RemoteProtocolError, OSError) as error:
        if sent.fault is not None:
            raise sent.fault from None
        msg = f"the stream broke after {sent.answered} answers: {error}"
        raise ConnectionFailedError(msg) from error
