"""What a database does for the store of feedback: transactions, and statements in the SQL that all of them know."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Final, Protocol, TypeAlias

from mlapi.feedback.base import StoreError

Row: TypeAlias = tuple[Any, ...]


class Session(Protocol):
    """A transaction that is going on. Parameters stand in statements as `?`, which stands for nothing else there."""

    def run(self, statement: str, *values: object) -> int:
        """Run a statement; return how many rows it changed."""

    def row(self, statement: str, *values: object) -> Row | None:
        """Return the first row of what a query finds."""

    def rows(self, statement: str, *values: object) -> Iterator[Row]:
        """Yield the rows of what a query finds, in parts: not all of them are in memory."""


class Database(Protocol):
    """A place with tables, opened when it is first needed, and again after a failure."""

    def writing(self) -> AbstractContextManager[Session]:
        """Open a transaction that is alone in writing; commit it at the end of the block, or roll it back.

        Raises:
            StoreError: the database failed.
        """

    def reading(self) -> AbstractContextManager[Session]:
        """Open a transaction that sees one state of everything.

        Raises:
            StoreError: the database failed.
        """

    def forget(self) -> None:
        """See to it, as far as is in its power, that what was deleted is in none of its files any more.

        Raises:
            StoreError: the database failed.
        """

    def close(self) -> None:
        """Close it."""


class Within:
    """A database whose transactions are parts of one that is going on: they stand or fall together.

    It has no connection of its own to close.
    """

    def __init__(self, session: Session) -> None:
        self._session = session

    def writing(self) -> AbstractContextManager[Session]:
        """Go on with the transaction."""
        return nullcontext(self._session)

    def reading(self) -> AbstractContextManager[Session]:
        """Go on with the transaction."""
        return nullcontext(self._session)

    def forget(self) -> None:
        """Leave it to whoever has the transaction."""

    def close(self) -> None:
        """Leave it to whoever has the transaction."""


SCHEMA_VERSION: Final = "1"

TABLES: Final[Sequence[str]] = (
    "CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS chain (id INTEGER PRIMARY KEY CHECK (id = 1), seq BIGINT NOT NULL, hash TEXT NOT NULL)",
    """CREATE TABLE IF NOT EXISTS events (
        seq BIGINT PRIMARY KEY, time_ms BIGINT NOT NULL, kind TEXT NOT NULL, content TEXT NOT NULL, hash TEXT NOT NULL
    )""",
    """CREATE TABLE IF NOT EXISTS subjects (
        id TEXT PRIMARY KEY, tenant TEXT NOT NULL, pseudonym TEXT NOT NULL, UNIQUE (tenant, pseudonym)
    )""",
    """CREATE TABLE IF NOT EXISTS items (
        id TEXT PRIMARY KEY, model TEXT NOT NULL, text_key TEXT, UNIQUE (model, text_key)
    )""",
    "CREATE TABLE IF NOT EXISTS answers (answer TEXT PRIMARY KEY, item TEXT NOT NULL)",
    "CREATE INDEX IF NOT EXISTS answers_of_item ON answers (item)",
    """CREATE TABLE IF NOT EXISTS opinions (
        item TEXT NOT NULL, subject TEXT NOT NULL, seq BIGINT NOT NULL, time_ms BIGINT NOT NULL, label TEXT NOT NULL,
        served_label TEXT NOT NULL, served_score DOUBLE PRECISION NOT NULL, model_digest TEXT NOT NULL,
        sample INTEGER NOT NULL, PRIMARY KEY (item, subject)
    )""",
    "CREATE INDEX IF NOT EXISTS opinions_of_subject ON opinions (subject)",
    """CREATE TABLE IF NOT EXISTS served (
        item TEXT NOT NULL, model_digest TEXT NOT NULL, label TEXT NOT NULL, score DOUBLE PRECISION NOT NULL,
        sample INTEGER NOT NULL, PRIMARY KEY (item, model_digest)
    )""",
    """CREATE TABLE IF NOT EXISTS texts (
        item TEXT PRIMARY KEY, subject TEXT NOT NULL, text BYTEA NOT NULL, expires BIGINT NOT NULL
    )""",
    """CREATE TABLE IF NOT EXISTS comments (
        item TEXT NOT NULL, subject TEXT NOT NULL, comment BYTEA NOT NULL, expires BIGINT NOT NULL,
        PRIMARY KEY (item, subject)
    )""",
    """CREATE TABLE IF NOT EXISTS datasets (
        digest TEXT PRIMARY KEY, model TEXT NOT NULL, texts BIGINT NOT NULL, events BIGINT NOT NULL,
        time_ms BIGINT NOT NULL
    )""",
    """CREATE TABLE IF NOT EXISTS models (
        digest TEXT PRIMARY KEY, model TEXT NOT NULL, facts TEXT NOT NULL, time_ms BIGINT NOT NULL
    )""",
    """CREATE TABLE IF NOT EXISTS decisions (
        seq BIGINT PRIMARY KEY, digest TEXT NOT NULL, decision TEXT NOT NULL, reason TEXT NOT NULL,
        time_ms BIGINT NOT NULL
    )""",
    "CREATE INDEX IF NOT EXISTS decisions_on_model ON decisions (digest)",
    "CREATE TABLE IF NOT EXISTS champions (model TEXT PRIMARY KEY, digest TEXT NOT NULL)",
    """CREATE TABLE IF NOT EXISTS learning_runs (
        id TEXT PRIMARY KEY, trigger_key TEXT NOT NULL UNIQUE, model TEXT NOT NULL, state TEXT NOT NULL,
        reason TEXT NOT NULL, facts TEXT NOT NULL, attempts INTEGER NOT NULL, fence BIGINT NOT NULL,
        lease_until BIGINT NOT NULL, created_ms BIGINT NOT NULL, changed_ms BIGINT NOT NULL
    )""",
    """CREATE TABLE IF NOT EXISTS learning_steps (
        run TEXT NOT NULL, number INTEGER NOT NULL, state TEXT NOT NULL, note TEXT NOT NULL, time_ms BIGINT NOT NULL,
        PRIMARY KEY (run, number)
    )""",
    """CREATE TABLE IF NOT EXISTS notices (
        id TEXT PRIMARY KEY, run TEXT NOT NULL, number INTEGER NOT NULL, target TEXT NOT NULL,
        attempts INTEGER NOT NULL, next_ms BIGINT NOT NULL, done_ms BIGINT NOT NULL
    )""",
)
"""Events are the record; the others hold what follows from them, and what may be erased.

What people wrote is kept as UTF-8 bytes, because PostgreSQL has no text with the character NUL. To SQLite the type's
name means nothing, and it keeps bytes as they are.
"""


def check_meta(session: Session, fingerprint: str) -> None:
    """Note whose store a new one is, and refuse one of another version or another secret.

    Raises:
        StoreError: it is another one's.
    """
    session.run("INSERT INTO meta VALUES ('schema', ?) ON CONFLICT (name) DO NOTHING", SCHEMA_VERSION)
    session.run("INSERT INTO meta VALUES ('secret', ?) ON CONFLICT (name) DO NOTHING", fingerprint)
    session.run("INSERT INTO chain VALUES (1, 0, '') ON CONFLICT (id) DO NOTHING")
    found: dict[str, str] = dict(session.rows("SELECT name, value FROM meta"))
    if found["schema"] != SCHEMA_VERSION:
        msg = f"its tables are of version {found['schema']}; this program reads version {SCHEMA_VERSION}"
        raise StoreError(msg)
    if found["secret"] != fingerprint:
        msg = "it was begun with another secret: with this one no opinion would find those of before"
        raise StoreError(msg)
