"""A database in one file, for a single machine: SQLite, of Python itself.

The file must lie on a disk of the machine: SQLite's locks do not hold on network file systems.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Literal

from mlapi.feedback.base import StoreError
from mlapi.feedback.database import TABLES, Row, check_meta

_BUSY_S: Final = 2.0
_PART: Final = 1000

_TRIGGERS: Final = tuple(
    f"CREATE TRIGGER IF NOT EXISTS events_are_kept_{verb.lower()} BEFORE {verb} ON events "
    "BEGIN SELECT RAISE(ABORT, 'events are only ever added'); END"
    for verb in ("UPDATE", "DELETE")
)


class _Session:
    """A transaction."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def run(self, statement: str, *values: object) -> int:
        return self._connection.execute(statement, values).rowcount

    def row(self, statement: str, *values: object) -> Row | None:
        found: Row | None = self._connection.execute(statement, values).fetchone()
        return found

    def rows(self, statement: str, *values: object) -> Iterator[Row]:
        cursor = self._connection.execute(statement, values)
        while part := cursor.fetchmany(_PART):
            yield from part


class SqliteDatabase:
    """The file, opened by the thread that first uses it, which is the only one that may."""

    def __init__(self, path: Path, fingerprint: str) -> None:
        """Take the path; the folder and the file are made when they are first needed."""
        self._path = path
        self._fingerprint = fingerprint
        self._connection: sqlite3.Connection | None = None

    @contextmanager
    def writing(self) -> Iterator[_Session]:
        """Take the lock for writing, and keep it for the block."""
        with self._transaction("IMMEDIATE") as session:
            yield session

    @contextmanager
    def reading(self) -> Iterator[_Session]:
        """See the file as it is now, whoever writes meanwhile."""
        with self._transaction("DEFERRED") as session:
            yield session

    def forget(self) -> None:
        """Empty the write-ahead log, unless somebody reads just now: then the next commits will.

        Raises:
            StoreError: the file failed.
        """
        if self._connection is not None:
            try:
                self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            except sqlite3.Error as error:
                self._give_up()
                msg = f"{self._path}: {error}"
                raise StoreError(msg) from error

    def close(self) -> None:
        """Close the file."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    @contextmanager
    def _transaction(self, kind: Literal["IMMEDIATE", "DEFERRED"]) -> Iterator[_Session]:
        try:
            connection = self._connection = self._connection or self._open()
            connection.execute(f"BEGIN {kind}")
            yield _Session(connection)
            connection.execute("COMMIT")
        except (sqlite3.Error, OSError) as error:
            self._give_up()
            msg = f"{self._path}: {error}"
            raise StoreError(msg) from error
        except BaseException:
            self._give_up()
            raise

    def _open(self) -> sqlite3.Connection:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        # It holds what people wrote; the files beside it get the same rights.
        self._path.touch(mode=0o600)
        connection = sqlite3.connect(self._path, timeout=_BUSY_S, isolation_level=None)
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            # In this mode less would lose commits when the machine's power fails.
            connection.execute("PRAGMA synchronous = FULL")
            # What is erased is overwritten, not only forgotten.
            connection.execute("PRAGMA secure_delete = ON")
            connection.execute("BEGIN IMMEDIATE")
            for statement in (*TABLES, *_TRIGGERS):
                connection.execute(statement)
            check_meta(_Session(connection), self._fingerprint)
            connection.execute("COMMIT")
        except BaseException:
            connection.close()
            raise
        return connection

    def _give_up(self) -> None:
        """Roll back by closing: the next transaction begins with a new look at the file."""
        self.close()
