"""Turns of the learning loop in processes that die where they are told to: for the tests of what is left then.

Started once, because the imports take longer than a turn: each line of its input is a turn in a fork of it.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from mlapi.errors import MlapiError
from mlapi.feedback.base import StoreError
from mlapi.feedback.database import Session
from mlapi.feedback.postgres import PostgresDatabase
from mlapi.feedback.sqlite import SqliteDatabase
from mlapi.feedback_app import open_loop, require_store
from mlapi.loop.plan import read_plan
from mlapi.settings import read_settings

NEVER = 10_000
DIED = -signal.SIGKILL
AWAY = 4


class Turn(NamedTuple):
    """How a turn ended (a process's exit code), and how many commits it had begun."""

    code: int
    commits: int


class Turns:
    """The process that forks turns."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.dying_loop"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def take(self, settings: Mapping[str, str], *, commit: int = NEVER, after: bool = True) -> Turn:
        """Take a turn that is killed just before, or just after, so many commits."""
        return self.take_together([(settings, commit, after)])[0]

    def take_together(self, turns: list[tuple[Mapping[str, str], int, bool]]) -> list[Turn]:
        """Take several at the same time."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps([[dict(settings), *rest] for settings, *rest in turns]) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, "the process that forks turns has ended"
        return [Turn(*turn) for turn in json.loads(line)]

    def close(self) -> None:
        """End it."""
        self._process.communicate()


@contextmanager
def _dying(kind: Any, counter: int, commit: int, *, after: bool) -> Iterator[None]:  # noqa: ANN401  a class of ours
    original, count = kind.writing, 0

    @contextmanager
    def writing(self: object) -> Iterator[Session]:
        nonlocal count
        with original(self) as session:
            yield session
            count += 1
            os.pwrite(counter, b"%8d" % count, 0)
            if count == commit and not after:
                os.kill(os.getpid(), signal.SIGKILL)
        if count == commit:
            os.kill(os.getpid(), signal.SIGKILL)

    kind.writing = writing
    yield


def _turn(settings: Mapping[str, str], counter: int, commit: int, *, after: bool) -> int:
    found = read_settings({f"MLAPI_{name.upper()}": value for name, value in settings.items()})
    plan = read_plan(Path(found.learn_file))
    kind = SqliteDatabase if found.feedback_file else PostgresDatabase
    with _dying(kind, counter, commit, after=after), open_loop(found, require_store(found), plan) as loop:
        try:
            return 0 if loop.turn(list(plan.models)) else 1
        except StoreError:
            return AWAY


def _main() -> None:
    for line in sys.stdin:
        children = []
        for settings, commit, after in json.loads(line):
            counter = os.memfd_create("commits")
            if (child := os.fork()) == 0:
                code = 70
                try:
                    code = _turn(settings, counter, commit, after=after)
                except MlapiError as error:
                    sys.stderr.write(f"{error.detail}\n")
                finally:
                    sys.stderr.flush()
                    os._exit(code)
            children.append((child, counter))
        found = []
        for child, counter in children:
            _, status = os.waitpid(child, 0)
            found.append((os.waitstatus_to_exitcode(status), int(os.pread(counter, 8, 0) or 0)))
            os.close(counter)
        sys.stdout.write(json.dumps(found) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    _main()
