"""A database for several processes and machines: PostgreSQL, by psycopg."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final, LiteralString

import psycopg
from psycopg import IsolationLevel

from mlapi.errors import ConfigurationError
from mlapi.feedback.base import StoreError
from mlapi.feedback.database import TABLES, Row, check_meta

_CONNECT_S: Final = 2
_STATEMENT_MS: Final = 4000
_LOCK: Final = 0x6D6C617069
"""Of `pg_advisory_xact_lock`, for whoever makes the tables: the letters of mlapi."""

_PART: Final = 1000

_GUARD: Final = (
    """CREATE OR REPLACE FUNCTION mlapi_events_are_kept() RETURNS trigger LANGUAGE plpgsql AS
    'BEGIN RAISE EXCEPTION ''events are only ever added''; END'""",
    """CREATE OR REPLACE TRIGGER events_are_kept BEFORE UPDATE OR DELETE ON events
    FOR EACH ROW EXECUTE FUNCTION mlapi_events_are_kept()""",
    """CREATE OR REPLACE TRIGGER events_are_kept_whole BEFORE TRUNCATE ON events
    FOR EACH STATEMENT EXECUTE FUNCTION mlapi_events_are_kept()""",
)


class _Session:
    """A transaction."""

    def __init__(self, connection: psycopg.Connection[Row]) -> None:
        self._connection = connection

    def run(self, statement: str, *values: object) -> int:
        return self._connection.execute(_translated(statement), values).rowcount

    def row(self, statement: str, *values: object) -> Row | None:
        return self._connection.execute(_translated(statement), values).fetchone()

    def rows(self, statement: str, *values: object) -> Iterator[Row]:
        # The server keeps the result: a cursor without a name would take all of it.
        with self._connection.cursor(name="rows") as cursor:
            cursor.itersize = _PART
            cursor.execute(_translated(statement), values)
            yield from cursor


class PostgresDatabase:
    """One connection, made when it is first needed, and anew after a failure."""

    def __init__(self, url: str, fingerprint: str) -> None:
        """Take the URL, `postgresql://…`, which may name any parameter of libpq.

        Raises:
            ConfigurationError: libpq does not understand it.
        """
        try:
            psycopg.conninfo.conninfo_to_dict(url)
        except psycopg.Error:
            # What the parser says may quote the password.
            msg = "the URL of the feedback store is not usable: it is like postgresql://user:password@host:5432/name"
            raise ConfigurationError(msg) from None
        self._url = url
        self._fingerprint = fingerprint
        self._connection: psycopg.Connection[Row] | None = None

    @contextmanager
    def writing(self) -> Iterator[_Session]:
        """Take the lock of all writers, and keep it for the block."""
        with self._transaction() as session:
            session.row("SELECT seq FROM chain FOR UPDATE")
            yield session

    @contextmanager
    def reading(self) -> Iterator[_Session]:
        """See one state of all tables, whoever writes meanwhile."""
        with self._transaction() as session:
            session.run("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            # A look at everything may take its time.
            session.run("SET LOCAL statement_timeout = 0")
            yield session

    def forget(self) -> None:
        """Leave it to the server: it reuses the room, and its log and backups are its owner's business."""

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            with suppress(psycopg.Error):
                self._connection.close()
            self._connection = None

    @contextmanager
    def _transaction(self) -> Iterator[_Session]:
        try:
            connection = self._connection = self._connection or self._connect()
            yield _Session(connection)
            connection.commit()
        except (psycopg.OperationalError, psycopg.InterfaceError, psycopg.InternalError) as error:
            self.close()
            # libpq's words name host, port, user and database, never the password.
            msg = f"PostgreSQL: {' '.join(str(error).split())}"
            raise StoreError(msg) from error
        except BaseException:
            self.close()
            raise

    def _connect(self) -> psycopg.Connection[Row]:
        connection: psycopg.Connection[Row] = psycopg.connect(
            self._url,
            connect_timeout=_CONNECT_S,
            # A server that is gone without a word is noticed in seconds.
            keepalives_idle=2,
            keepalives_interval=2,
            keepalives_count=2,
            tcp_user_timeout=_STATEMENT_MS,
            application_name="mlapi feedback",
            options=f"-c statement_timeout={_STATEMENT_MS} -c lock_timeout={_STATEMENT_MS} -c synchronous_commit=on",
        )
        try:
            connection.isolation_level = IsolationLevel.READ_COMMITTED
            session = _Session(connection)
            session.row("SELECT pg_advisory_xact_lock(?)", _LOCK)
            # The table that came last: a store of an earlier version gets what it lacks.
            if session.row("SELECT to_regclass('notices')") == (None,):
                for statement in (*TABLES, *_GUARD):
                    session.run(statement)
            check_meta(session, self._fingerprint)
            connection.commit()
        except BaseException:
            connection.close()
            raise
        return connection


def _translated(statement: str) -> LiteralString:
    """Return a statement with psycopg's placeholders; every statement is a literal of this package."""
    translated: LiteralString = statement.replace("?", "%s")
    return translated
