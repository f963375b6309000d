"""Adds requests to the corpus, each under the status that a real process answers it with.

`python -m soak.record` names all of them anew.
"""

import asyncio
import hashlib
import shutil
import sys
import tempfile
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from soak.corpus import CORPUS, read_corpus, request_of
from soak.wire import LostError, Wire
from tests.e2e.api_keys import KeysFile, bearer
from tests.service_process import ServiceProcess

_WAIT_S: Final = 1.0
_END_S: Final = 5.0
_SERVER_FAULT: Final = 500


class Candidate(NamedTuple):
    """A request that may join the corpus: its folder, its name without the status, and its content."""

    kind: str
    name: str
    data: bytes


class ServerFaultError(Exception):
    """The service answered with 5xx, or in a way that is none."""


def named(kind: str, data: bytes) -> Candidate:
    """Return a candidate whose name is made of its content."""
    return Candidate(kind, hashlib.sha256(data).hexdigest()[:12], data)


async def status_of(port: int, request: bytes, *, wait_s: float = _WAIT_S) -> int | None:
    """Return what a process answers; 0: it closes the connection when nothing more comes; None: neither, in time."""
    wire = await Wire.connect(port)
    try:
        with suppress(OSError):
            await wire.send(request)
        with suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                return (await wire.read()).status
    except LostError:
        return 0
    finally:
        wire.abort()
    return await _status_at_end(port, request)


async def _status_at_end(port: int, request: bytes) -> int | None:
    wire = await Wire.connect(port)
    try:
        await wire.send(request)
        wire.writer.write_eof()
        async with asyncio.timeout(_END_S):
            return 0 if await wire.is_closed() else None
    except TimeoutError:
        return None
    finally:
        wire.abort()


def record(candidates: Iterable[Candidate], folder: Path) -> list[str]:
    """Ask a process, and write the files; what is answered neither now nor by a closed connection is left out.

    Returns:
        The names of the files, below `folder`.

    Raises:
        ServerFaultError: the service failed.
    """
    written = []
    with tempfile.TemporaryDirectory() as made:
        keys = KeysFile(Path(made))
        headers = bearer(keys.add("corpus"))
        with ServiceProcess(keys_file=str(keys.path)) as service:
            written += [name for item in candidates if (name := _add(service, item, headers, folder))]
    return written


def _add(service: ServiceProcess, candidate: Candidate, headers: Mapping[str, str], folder: Path) -> str:
    kind, name, data = candidate
    status = asyncio.run(status_of(service.port, request_of(kind, data, headers)))
    if status is None:
        return ""
    if status >= _SERVER_FAULT:
        msg = f"{status} to {kind}: {data[:200]!r}"
        raise ServerFaultError(msg)
    path = folder / kind / f"{status:03}-{name}"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return f"{kind}/{path.name}"


def main() -> None:
    """Name all entries of the corpus anew, after a change of what they are answered with: all of them, or none."""
    entries = read_corpus(CORPUS)
    candidates = [Candidate(entry.kind, Path(entry.name).name[4:], entry.data) for entry in entries]
    with tempfile.TemporaryDirectory() as made:
        written = record(candidates, Path(made))
        if len(written) < len(entries):
            sys.exit(f"only {len(written)} of {len(entries)} requests were answered; nothing in the corpus was changed")
        for entry in entries:
            (CORPUS / entry.name).unlink()
        for name in written:
            shutil.move(Path(made, name), CORPUS / name)
    sys.stdout.write(f"{len(written)} requests\n")


if __name__ == "__main__":
    main()
