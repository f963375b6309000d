"""Runs a command of the training, as long as it takes: says meanwhile that the run goes on, and bounds its time."""

import contextlib
import fcntl
import os
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import IO, Final

from mlapi.loop.errors import RefusedError, StepError

EXIT_REFUSED: Final = 3
"""The command worked, and the model is not good enough (`training.stages` has the same)."""

_LINES: Final = 5
_LINE_CHARS: Final = 160
_TAIL_BYTES: Final = 65_536
_GONE_S: Final = 10.0
_LOOK_S: Final = 0.02


class Commands:
    """Runs the commands of one run, one at a time, in its folder.

    A command holds the folder's lock as long as one of its processes lives: also when whoever started it was killed.
    Who takes over ends what is left of it first.
    """

    def __init__(
        self, folder: Path, *, keep: Callable[[], None], pause_s: float, limit_s: float, clock: Callable[[], float]
    ) -> None:
        """Take the folder.

        Args:
            folder: for the log; exists.
            keep: is called again and again while a command runs; what it raises ends the command.
            pause_s: between two of these calls.
            limit_s: how long one command may take.
            clock: tells seconds.
        """
        self._folder = folder
        self._keep = keep
        self._pause_s = pause_s
        self._limit_s = limit_s
        self._clock = clock

    def run(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        """Run a command to its end.

        Raises:
            RefusedError: it ended with the exit code 3.
            StepError: it failed, took too long or could not be started; or an earlier one cannot be ended.
        """
        with self._locked() as lock, (self._folder / "log").open("ab") as log:
            log.write(f"$ {' '.join(command)}\n".encode())
            log.flush()
            begin = log.tell()
            try:
                process = subprocess.Popen(  # noqa: S603  the operator's own commands
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    env={**os.environ, **environment},
                    start_new_session=True,
                    pass_fds=(lock.fileno(),),
                )
            except OSError as error:
                msg = f"{command[0]} cannot be started: {error.strerror}"
                raise StepError(msg) from error
            lock.seek(0)
            lock.truncate()
            lock.write(f"{_place()} {process.pid}")
            lock.flush()
            try:
                code = self._wait(process)
            except BaseException:
                _end(process.pid)
                process.wait()
                raise
        if code:
            said = self._said(begin)
            if code == EXIT_REFUSED:
                raise RefusedError(said)
            msg = f"{' '.join(command[:4])} ended with {code}: {said}"
            raise StepError(msg)

    def _wait(self, process: "subprocess.Popen[bytes]") -> int:
        until = self._clock() + self._limit_s
        while True:
            try:
                return process.wait(self._pause_s)
            except subprocess.TimeoutExpired:
                self._keep()
            if self._clock() >= until:
                msg = f"it took longer than {self._limit_s:g} s"
                raise StepError(msg)

    @contextmanager
    def _locked(self) -> Iterator[IO[str]]:
        with (self._folder / "lock").open("a+", encoding="ascii") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                self._take_over(lock)
            yield lock

    def _take_over(self, lock: IO[str]) -> None:
        """End the command of somebody who is gone, and take the lock.

        Raises:
            StepError: it runs elsewhere, or does not end.
        """
        lock.seek(0)
        place, _, group = lock.read().rpartition(" ")
        if place != _place() or not group.isdigit():
            msg = "a command that somebody else started for this run has not ended yet"
            raise StepError(msg)
        _end(int(group))
        until = self._clock() + _GONE_S
        while self._clock() < until:
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            Event().wait(_LOOK_S)
        msg = "a command that was left over does not end"
        raise StepError(msg)

    def _said(self, begin: int) -> str:
        """Return the end of what a command said, short and printable: it goes into the database and into notices."""
        with (self._folder / "log").open("rb") as log:
            log.seek(max(begin, log.seek(0, os.SEEK_END) - _TAIL_BYTES))
            lines = log.read().decode(errors="replace").splitlines()
        printable = (" ".join("".join(c if c.isprintable() else " " for c in line).split()) for line in lines)
        return " / ".join([line[:_LINE_CHARS] for line in printable if line][-_LINES:]) or "nothing"


def _place() -> str:
    """Return what tells apart where process ids mean the same: the namespace where there are some, else the host."""
    try:
        return f"{socket.gethostname()} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return socket.gethostname()


def _end(group: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)
