"""What is fuzzed: heads and framing on a connection, and the reader and writer of every wire format."""

import asyncio
import re
from collections.abc import Callable, Mapping
from typing import Final

from mlapi.dialects.base import AnsweringModel, Dialect, NegotiatingDialect, TextLimits
from mlapi.dialects.formats import wire_formats
from mlapi.dialects.ranked import RankedLabels
from mlapi.errors import MlapiError
from mlapi.postprocessing import Postprocessor
from mlapi.predictions import Answer, Source, SourceCounts
from soak.corpus import FORMATS, HTTP
from tests.unit.server.http_wire import App, Connection

_LIMITS: Final = TextLimits(texts=100, chars=2_000)
_STATUS: Final = re.compile(rb"HTTP/1\.1 (\d{3}) ")
_SERVER_FAULT: Final = 500
_TURNS: Final = 12


class WrongError(Exception):
    """The code under test did what it must not."""


def connection(data: bytes) -> None:
    """Send bytes to a connection, whole and in two pieces: the answers are the same, and none is the server's fault.

    Raises:
        WrongError: they are not.
    """
    cut = len(data) // 2

    async def run() -> tuple[list[bytes], list[bytes]]:
        return await _statuses([data]), await _statuses([data[:cut], data[cut:]])

    whole, pieces = asyncio.run(run())
    if whole != pieces or any(int(status) >= _SERVER_FAULT for status in whole):
        msg = f"{whole} whole, {pieces} in pieces"
        raise WrongError(msg)


async def _statuses(pieces: list[bytes]) -> list[bytes]:
    opened = Connection(App())
    for piece in pieces:
        if piece and not (opened.wire.closed or opened.wire.ended):
            opened.protocol.data_received(piece)
            await asyncio.sleep(0)
    for _ in range(_TURNS):
        await asyncio.sleep(0)
    opened.protocol.connection_lost(None)
    await asyncio.sleep(0)
    return [status for status in _STATUS.findall(opened.wire.sent) if status != b"100"]


def body_of(dialect: Dialect, headers: Mapping[bytes, bytes]) -> Callable[[bytes], None]:
    """Return what reads a body in a wire format and answers it: it is refused with words, or answered."""
    postprocessor = Postprocessor(["NEGATIVE", "POSITIVE"], "softmax")
    model = AnsweringModel("m", "0123456789abcdef" * 2, RankedLabels(postprocessor), served_as="project")
    prediction = postprocessor.prediction((-1.0, 0.5), tokens=4, truncated=False)

    def run(data: bytes) -> None:
        fields = dict(headers)
        if b"inference-header-content-length" in fields:
            fields[b"inference-header-content-length"] = b"%d" % (data.find(b"}]}") + 3)
        try:
            read = dialect.negotiate(b"", fields) if isinstance(dialect, NegotiatingDialect) else None
            call = (read or dialect.reader(b""))(data, _LIMITS)
            count = len(call.texts)
            known = Answer([prediction] * count, [Source.L1] * count, [b""] * count, SourceCounts(l1=count))
            call.write(known, model)
        except MlapiError as error:
            dialect.refuse(error, "an-id")

    return run


def targets() -> dict[str, Callable[[bytes], None]]:
    """Return all of them, by the folders of their corpus."""
    formats = wire_formats(clock=lambda: 0.0, new_id=lambda: "new")
    routes = {path: dialect for item in formats for path, dialect in item.predictions.items()}
    found: dict[str, Callable[[bytes], None]] = {HTTP: connection}
    for folder, spoken in FORMATS.items():
        path = spoken.paths[0].removeprefix("{root}").strip("/").replace("{name}", "{model}")
        headers = {name.encode(): value.encode() for name, value in spoken.headers.items()}
        found[folder] = body_of(routes[path], headers)
    return found
