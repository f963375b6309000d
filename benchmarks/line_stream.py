"""Sends a million lines through one connection, and looks at their order, their speed and the server's memory.

`python -m benchmarks.line_stream --lines 1000000`. It starts `mlapi serve` with an engine that costs nothing
(`--engine` names another), so that what is measured is the stream. One line in a thousand or so is broken. Half way
through nothing is read for a while: the server has to stop reading, too, and its memory must not grow. It fails if an
answer is not that of its line, if a broken line is not answered in its place, if the server went on reading, or if its
memory grew.
"""

import argparse
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Final

import httpx

from tools.private_redis import free_port

_HOST: Final = "127.0.0.1"
_START_S: Final = 60.0
_BLOCK_LINES: Final = 512
_TEXTS: Final = 50_000
"""Different texts; each comes twenty times in a million lines."""
_BROKEN_EACH: Final = 1_009
_LEAST_ANSWERS: Final = 50
"""So many different answers show that answers belong to their lines."""
_MOST_GROWTH: Final = 16 * 1024 * 1024
"""Bytes: the window of lines, what the sockets' ends hold, and what the heap keeps."""
_MIB: Final = 1024 * 1024


@dataclass(slots=True)
class Findings:
    """What was seen.

    Attributes:
        lines: answered.
        seconds: that took, without the pause.
        out_of_place: answers that are not those of their lines.
        broken, told: lines that were broken, and those of them that were told so in their places.
        answers: how many different ones there were.
        sent_in_pause: bytes that the server still took while nothing was read, once its buffers were full.
        memory: resident bytes of the server, by the share of lines that were answered.
    """

    lines: int = 0
    seconds: float = 0.0
    out_of_place: int = 0
    broken: int = 0
    told: int = 0
    answers: int = 0
    sent_in_pause: int = 0
    memory: dict[str, int] = field(default_factory=dict)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it; return 0 if every promise was kept."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.line_stream", description=__doc__)
    parser.add_argument("--lines", type=int, default=1_000_000, help="how many (default 1000000)")
    parser.add_argument("--pause", type=float, default=10.0, help="seconds for which nothing is read (default 10)")
    parser.add_argument("--engine", default="fake", help="of the model (default fake)")
    options = parser.parse_args(arguments)
    port = free_port()
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("MLAPI_")}
    settings = {"MLAPI_HOST": _HOST, "MLAPI_PORT": str(port), "MLAPI_ENGINE": options.engine, "MLAPI_DRAIN_S": "0"}
    process = subprocess.Popen(
        [sys.executable, "-m", "mlapi", "serve"], env=inherited | settings | {"MLAPI_LOG_LEVEL": "warning"}
    )
    try:
        _wait_until_ready(port)
        findings = _stream(options.lines, options.pause, port, process.pid)
    finally:
        process.terminate()
        process.wait(30)
    return report(findings)


def report(findings: Findings) -> int:
    """Print what was seen; return 0 if it is what was promised."""
    least, most = min(findings.memory.values()), max(findings.memory.values())
    rate = findings.lines / findings.seconds if findings.seconds else 0.0
    _say(f"{findings.lines} lines in {findings.seconds:.1f} s: {rate:.0f} lines/s")
    _say(f"answers that are not those of their lines: {findings.out_of_place} ({findings.answers} different answers)")
    _say(f"broken lines: {findings.broken}, told so in their places: {findings.told}")
    _say("memory of the server, MiB, by lines answered:")
    _say("  " + ", ".join(f"{share} {size / _MIB:.1f}" for share, size in findings.memory.items()))
    _say(f"bytes taken in the second half of the pause: {findings.sent_in_pause}")
    faults = [
        words
        for fault, words in (
            (not findings.lines, "nothing was measured"),
            (findings.out_of_place, "an answer is not that of its line"),
            (findings.answers < _LEAST_ANSWERS, "the answers are too few to tell lines apart"),
            (not findings.broken or findings.told != findings.broken, "a broken line was not told so in its place"),
            (findings.sent_in_pause, "the server went on reading while nothing was read of its answers"),
            (most - least > _MOST_GROWTH, f"the server's memory grew by {(most - least) / _MIB:.1f} MiB"),
        )
        if fault
    ]
    for words in faults:
        _say(f"FAILED: {words}")
    return 1 if faults else 0


def _say(words: str) -> None:
    sys.stdout.write(f"{words}\n")


def _wait_until_ready(port: int) -> None:
    give_up_at = time.monotonic() + _START_S
    while True:
        try:
            if httpx.get(f"http://{_HOST}:{port}/readyz").is_success:
                return
        except httpx.TransportError:
            pass
        if time.monotonic() > give_up_at:
            msg = "the server does not start"
            raise TimeoutError(msg)
        time.sleep(0.05)


def _resident(pid: int) -> int:
    pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGESIZE")


def _line(number: int) -> bytes:
    if number % _BROKEN_EACH == _BROKEN_EACH - 1:
        return b'{"text": broken\n'
    return b'{"text":"what somebody wrote, number %d"}\n' % (number * 7_919 % _TEXTS)


class _Sender(threading.Thread):
    """Sends all lines as fast as the server takes them; `sent` counts bytes."""

    def __init__(self, connection: socket.socket, lines: int) -> None:
        super().__init__(daemon=True)
        self._connection = connection
        self._lines = lines
        self.sent = 0

    def run(self) -> None:
        """Send."""
        for start in range(0, self._lines, _BLOCK_LINES):
            block = b"".join(map(_line, range(start, min(start + _BLOCK_LINES, self._lines))))
            data = memoryview(b"%x\r\n%b\r\n" % (len(block), block))
            while data:
                taken = self._connection.send(data)
                self.sent += taken
                data = data[taken:]
        self._connection.sendall(b"0\r\n\r\n")


def _stream(lines: int, pause_s: float, port: int, pid: int) -> Findings:
    findings = Findings()
    answers: dict[int, bytes] = {}
    # Before the first request: what the first lines make the process keep, such as the entries of its cache, grows
    # with the number of different texts. So the first of them are asked for once before anything is measured.
    with socket.create_connection((_HOST, port)) as connection:
        for found in _ask(connection, _Sender(connection, min(_TEXTS, lines))):
            del found
    findings.memory["before"] = _resident(pid)
    with socket.create_connection((_HOST, port)) as connection:
        sender = _Sender(connection, lines)
        began = time.monotonic()
        paused_s = 0.0
        for number, found in enumerate(_ask(connection, sender)):
            _judge(number, found, answers, findings)
            if number == lines // 2:
                paused_s = _pause(pause_s, sender, findings)
                findings.memory["paused"] = _resident(pid)
            if number % max(1, lines // 5) == 0:
                findings.memory[f"{100 * number // lines} %"] = _resident(pid)
        findings.seconds = time.monotonic() - began - paused_s
    findings.memory["after"] = _resident(pid)
    findings.answers = len(set(answers.values()))
    if findings.lines != lines:
        findings.out_of_place += abs(lines - findings.lines)
    return findings


def _judge(number: int, found: bytes, answers: dict[int, bytes], findings: Findings) -> None:
    findings.lines += 1
    if number % _BROKEN_EACH == _BROKEN_EACH - 1:
        findings.broken += 1
        findings.told += found.startswith(b'{"error":') and b'"invalid_json"' in found
    elif not found.startswith(b'{"predictions":') or (answers.setdefault(number * 7_919 % _TEXTS, found) != found):
        findings.out_of_place += 1


def _pause(seconds: float, sender: _Sender, findings: Findings) -> float:
    """Read nothing; return for how long. In the first half of the time the buffers between the two fill up."""
    began = time.monotonic()
    time.sleep(seconds / 2)
    before = sender.sent
    time.sleep(seconds / 2)
    findings.sent_in_pause = sender.sent - before
    return time.monotonic() - began


def _ask(connection: socket.socket, sender: _Sender) -> Iterator[bytes]:
    """Send lines and yield the lines of the answer."""
    connection.sendall(
        b"POST /project/bulk-predict HTTP/1.1\r\nHost: benchmark\r\nContent-Type: application/x-ndjson\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n"
    )
    sender.start()
    with connection.makefile("rb") as file:
        while (header := file.readline()) not in {b"\r\n", b""}:
            if header.startswith(b"HTTP/") and b" 200 " not in header:
                raise ConnectionError(header)
        yield from _lines(file)
    sender.join()


def _lines(file: IO[bytes]) -> Iterator[bytes]:
    rest = b""
    while size := int(file.readline(), 16):
        *found, rest = (rest + file.read(size)).split(b"\n")
        file.readline()
        yield from found


if __name__ == "__main__":
    sys.exit(main())
