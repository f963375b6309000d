"""Starts a peer on the processors that are its, waits for its first right answer, and ends it by its process id."""

import http.client
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from benchmarks.catalogue import FOLDER, Peer
from benchmarks.dialects import Scores
from benchmarks.processes import Memory, family, memory, processor_s
from mlapi.bench.load import Target
from mlapi.bench.outcome import OK

HOST: Final = "127.0.0.1"
_START_S: Final = 300.0
_ANSWER_S: Final = 60.0
_STOP_S: Final = 15.0
_PAUSE_S: Final = 0.005
_SAID: Final = 400

# Becomes the program named by its arguments, bound to some processors, and told to end when its parent does (prctl(2),
# PR_SET_PDEATHSIG).
_TETHER: Final = """
import ctypes, os, signal, sys
parent, processors, *command = sys.argv[1:]
os.sched_setaffinity(0, {int(number) for number in processors.split(",")})
ctypes.CDLL(None).prctl(1, int(signal.SIGTERM))
if os.getppid() != int(parent):
    sys.exit("the parent is gone")
os.execvp(command[0], command)
"""


class ServeError(Exception):
    """A peer does not start, or does not answer as it should; the message says what happened."""


@dataclass(frozen=True, slots=True)
class Places:
    """Where a peer finds what it needs: its programs, the model, the Redis, and a folder to write to."""

    programs: Path
    model: Path
    redis: str
    scratch: Path

    def fill(self, template: str, port: int) -> str:
        """Put the places into a template of the catalogue."""
        return template.format(
            bin=self.programs,
            port=port,
            model=self.model,
            redis=self.redis,
            scratch=self.scratch,
        )


class Server:
    """One running peer; a context manager that ends it with all of its descendants.

    Attributes:
        target: where it listens.
        first_answer_s: time from its start to its first answer over HTTP, seconds.
    """

    def __init__(
        self,
        peer: Peer,
        places: Places,
        processors: Sequence[int],
        extra: Mapping[str, str],
        probe: bytes,
        *,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Start it and wait until it answers.

        Args:
            peer: whom.
            places: where it finds what it needs.
            processors: the processors that it may use.
            extra: environment variables besides the catalogue's.
            probe: body of the request whose answer is waited for.
            headers: what each request carries besides its content type.

        Raises:
            ServeError: it ends, or does not answer in time.
        """
        port = _free_port()
        self.target = Target(HOST, port, headers=headers or {})
        self._peer = peer
        self._log = tempfile.TemporaryFile()  # noqa: SIM115  closed in `stop`
        started = time.perf_counter()
        self._process = self._start(places, processors, extra, port)
        try:
            while not self._answers(probe):
                self._check_hope(started)
                time.sleep(_PAUSE_S)
        except BaseException:
            self.stop()
            raise
        self.first_answer_s = time.perf_counter() - started

    @property
    def memory(self) -> Memory:
        """What it and its descendants use."""
        return memory(family(self._process.pid))

    @property
    def processor_s(self) -> float:
        """Processor time that it and its descendants have used, seconds."""
        return processor_s(family(self._process.pid))

    def ask(self, texts: Sequence[str], *, bulk: bool = False) -> list[Scores]:
        """Ask for some texts, one request, on the path for few or for many.

        Raises:
            ServeError: no answer, not a good one, or one of another form.
        """
        try:
            status, body = self._post(self._peer.dialect.write(texts), self._peer.bulk if bulk else self._peer.single)
        except (OSError, http.client.HTTPException) as error:
            msg = f"no answer: {error!r}"
            raise ServeError(msg) from error
        if status != OK:
            msg = f"answered {status}: {body[:_SAID]!r}; {self._said()}"
            raise ServeError(msg)
        try:
            return self._peer.dialect.read(body)
        except (ValueError, KeyError, TypeError, IndexError) as error:
            msg = f"an answer of another form: {body[:_SAID]!r}"
            raise ServeError(msg) from error

    def stop(self) -> None:
        """End it, in good order where it does so in time."""
        members = family(self._process.pid)
        self._process.terminate()
        try:
            self._process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for pid in members[1:]:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._log.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def _start(
        self, places: Places, processors: Sequence[int], extra: Mapping[str, str], port: int
    ) -> "subprocess.Popen[bytes]":
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("MLAPI_", "OTEL_"))}
        own = {name: places.fill(value, port) for name, value in self._peer.environment.items()}
        offline = {"HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "TOKENIZERS_PARALLELISM": "false"}
        # What every library of numerical work understands: as many threads as there are processors for them.
        threads = {"OMP_NUM_THREADS": str(len(processors))}
        places.scratch.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-I", "-S", "-c", _TETHER, str(os.getpid()), ",".join(map(str, processors))]
        command += [places.fill(part, port) for part in self._peer.command]
        return subprocess.Popen(  # noqa: S603  starting the peers is the purpose
            command,
            cwd=FOLDER / self._peer.home if self._peer.home else None,
            env=inherited | offline | threads | own | {name: places.fill(value, port) for name, value in extra.items()},
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def _check_hope(self, started: float) -> None:
        """See whether it may still answer.

        Raises:
            ServeError: it has ended, or takes too long.
        """
        if self._process.poll() is not None:
            msg = f"ended with {self._process.returncode}: {self._said()}"
            raise ServeError(msg)
        if time.perf_counter() - started > _START_S:
            msg = f"no answer {_START_S:g} s after its start: {self._said()}"
            raise ServeError(msg)

    def _answers(self, probe: bytes) -> bool:
        try:
            return self._post(probe, self._peer.single)[0] == OK
        except (OSError, http.client.HTTPException):
            return False

    def _post(self, body: bytes, path: str) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection(HOST, self.target.port, timeout=_ANSWER_S)
        try:
            connection.request("POST", path, body, {"content-type": "application/json", **self.target.headers})
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def _said(self) -> str:
        size = os.fstat(self._log.fileno()).st_size
        return os.pread(self._log.fileno(), _SAID, max(0, size - _SAID)).decode(errors="replace").strip()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port
