"""The registry of models: what each was made of, what was decided about it, and which one is the champion.

A model is known by the digest of its bundle, which never changes its meaning. Servers do not read any of this: they get
a bundle. The champion changes by compare-and-set alone, and what was once rolled back or rejected never becomes it.
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple

import msgspec

from mlapi.feedback.chain import append
from mlapi.feedback.database import Database, Session
from mlapi.feedback.events import DatasetExported, ModelDecided, ModelRegistered


class RegistryError(Exception):
    """What was asked of the registry contradicts what it holds; the message says how."""


class StaleError(RegistryError):
    """The champion is another one than was expected: whatever was concluded from the expected one is out of date."""


class Decision(StrEnum):
    """What can be decided about a model."""

    PROMOTED = "promoted"
    REJECTED = "rejected"
    """It was found not to be good enough, before it was the champion."""

    ROLLED_BACK = "rolled_back"
    """It was the champion and turned out to be bad: the one before it is the champion again."""


_BANNED = frozenset({Decision.REJECTED.value, Decision.ROLLED_BACK.value})


class Registered(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What is known of a model.

    Attributes:
        digest: of its bundle, 64 hexadecimal digits.
        model: the name that it is to be served under.
        dataset: SHA-256 of the data that it was trained on; empty where nobody said.
        commit: of the code that trained it; likewise, and so below.
        run: of the training, as whatever tracked it calls it.
        parent: digest of the bundle that it is to replace.
        report: SHA-256 of the report that judged it.
    """

    digest: str
    model: str
    dataset: str = ""
    commit: str = ""
    run: str = ""
    parent: str = ""
    report: str = ""


class Dataset(NamedTuple):
    """Texts that were exported to learn from: their SHA-256, how many, and the number of the last event before that."""

    digest: str
    texts: int
    events: int


class Decided(NamedTuple):
    """One decision, when it was taken in milliseconds since 1970, and why."""

    decision: str
    time_ms: int
    reason: str


class Ancestor(NamedTuple):
    """One model in a line of models.

    Attributes:
        facts: what is known of it.
        dataset: the export that it was trained on; None where it was trained on something else.
        decisions: what was decided about it, in order.
        champion: whether it is the champion now.
    """

    facts: Registered
    dataset: Dataset | None
    decisions: Sequence[Decided]
    champion: bool


class Registry:
    """The registry in a store of feedback; every method may raise a `StoreError`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def note_dataset(self, digest: str, model: str, texts: int, now: int) -> None:
        """Note that texts were exported; the same export again is nothing new."""
        with self._database.writing() as session:
            if session.row("SELECT texts FROM datasets WHERE digest = ?", digest) is None:
                seq = append(session, now, DatasetExported(digest, model, texts))
                session.run("INSERT INTO datasets VALUES (?, ?, ?, ?, ?)", digest, model, texts, seq - 1, now)

    def register(self, facts: Registered, now: int) -> bool:
        """Add a model; return whether it was not there.

        Raises:
            RegistryError: it is there, and something else is said of it; or its parent is unknown or of another name.
        """
        content = msgspec.json.encode(facts).decode()
        with self._database.writing() as session:
            known = session.row("SELECT facts FROM models WHERE digest = ?", facts.digest)
            if known is not None:
                if known[0] != content:
                    msg = f"{facts.digest} is registered already, and otherwise: {known[0]}"
                    raise RegistryError(msg)
                return False
            if facts.parent:
                parent = _find(session, facts.parent)
                if parent.model != facts.model:
                    msg = f"the parent {facts.parent} is a model of {parent.model}, not of {facts.model}"
                    raise RegistryError(msg)
            append(session, now, ModelRegistered(facts.digest, facts.model, content))
            session.run("INSERT INTO models VALUES (?, ?, ?, ?)", facts.digest, facts.model, content, now)
            return True

    def champion(self, model: str) -> str:
        """Return the digest of a name's champion; empty where there is none."""
        with self._database.reading() as session:
            return _champion(session, model)

    def find(self, digest: str) -> Registered | None:
        """Return what is known of a model; None where it is not registered."""
        with self._database.reading() as session:
            row = session.row("SELECT facts FROM models WHERE digest = ?", digest)
            return None if row is None else msgspec.json.decode(row[0], type=Registered)

    def banned(self, digest: str) -> str:
        """Say why a model never becomes champion; empty where it may."""
        with self._database.reading() as session:
            bad = [found for found in _decisions(session, digest) if found.decision in _BANNED]
            return f"{bad[0].decision.replace('_', ' ')}: {bad[0].reason}" if bad else ""

    def promote(self, digest: str, expected: str, reason: str, now: int) -> None:
        """Make a model the champion of its name, if `expected` is it (empty: if there is none).

        Doing so again, after an acknowledgement that was lost, changes nothing.

        Raises:
            StaleError: another one is the champion.
            RegistryError: the model is not registered, or was rejected or rolled back before.
        """
        with self._database.writing() as session:
            facts = _find(session, digest)
            bad = [found.decision for found in _decisions(session, digest) if found.decision in _BANNED]
            if bad:
                msg = f"{digest} was {bad[0].replace('_', ' ')}, and stays so"
                raise RegistryError(msg)
            current = _champion(session, facts.model)
            if current == digest:
                return
            if current != expected:
                msg = f"the champion of {facts.model} is {current or 'nobody'}, not {expected or 'nobody'}"
                raise StaleError(msg)
            _decide(session, facts, Decision.PROMOTED, replaced=current, reason=reason, now=now)
            session.run("DELETE FROM champions WHERE model = ?", facts.model)
            session.run("INSERT INTO champions VALUES (?, ?)", facts.model, digest)

    def reject(self, digest: str, reason: str, now: int) -> None:
        """Note that a model is not good enough; it never becomes champion. Doing so again changes nothing.

        Raises:
            RegistryError: it is not registered, or is or was the champion: that is rolled back.
        """
        with self._database.writing() as session:
            facts = _find(session, digest)
            decided = {found.decision for found in _decisions(session, digest)}
            if Decision.PROMOTED.value in decided:
                msg = f"{digest} was promoted: roll it back instead"
                raise RegistryError(msg)
            if Decision.REJECTED.value not in decided:
                _decide(session, facts, Decision.REJECTED, replaced="", reason=reason, now=now)

    def roll_back(self, digest: str, reason: str, now: int) -> str:
        """Make the champion before this one the champion again, and ban this one; return whom. Again: the same.

        Raises:
            StaleError: another one is the champion.
            RegistryError: it is not registered, or there was no good one before it.
        """
        with self._database.writing() as session:
            facts = _find(session, digest)
            current = _champion(session, facts.model)
            if Decision.ROLLED_BACK.value in {found.decision for found in _decisions(session, digest)}:
                return current
            if current != digest:
                msg = f"the champion of {facts.model} is {current or 'nobody'}, not {digest}"
                raise StaleError(msg)
            before = _before(session, facts.model, digest)
            if before is None:
                msg = f"there is no model of {facts.model} to go back to"
                raise RegistryError(msg)
            _decide(session, facts, Decision.ROLLED_BACK, replaced=digest, reason=reason, now=now)
            session.run("UPDATE champions SET digest = ? WHERE model = ?", before, facts.model)
            return before

    def history(self, model: str, count: int) -> list[Ancestor]:
        """Return the latest models that were registered under a name, the newest first."""
        query = "SELECT digest FROM models WHERE model = ? ORDER BY time_ms DESC, digest LIMIT ?"
        with self._database.reading() as session:
            return [_ancestor(session, row[0]) for row in session.rows(query, model, count)]

    def lineage(self, digest: str) -> list[Ancestor]:
        """Return a model and those that it descends from, the oldest last.

        Raises:
            RegistryError: no model, or several, has a digest that begins so.
        """
        with self._database.reading() as session:
            found = [row[0] for row in session.rows("SELECT digest FROM models WHERE digest LIKE ?", f"{digest}%")]
            if len(found) != 1:
                msg = f"{len(found)} registered models have a digest that begins with {digest}"
                raise RegistryError(msg)
            line = [_ancestor(session, found[0])]
            # A parent is registered before its children, so the line ends.
            while line[-1].facts.parent:
                line.append(_ancestor(session, line[-1].facts.parent))
            return line


def _find(session: Session, digest: str) -> Registered:
    row = session.row("SELECT facts FROM models WHERE digest = ?", digest)
    if row is None:
        msg = f"{digest} is not registered"
        raise RegistryError(msg)
    return msgspec.json.decode(row[0], type=Registered)


def _champion(session: Session, model: str) -> str:
    row = session.row("SELECT digest FROM champions WHERE model = ?", model)
    return str(row[0]) if row else ""


def _decisions(session: Session, digest: str) -> list[Decided]:
    query = "SELECT decision, time_ms, reason FROM decisions WHERE digest = ? ORDER BY seq"
    return [Decided(*row) for row in session.rows(query, digest)]


def _before(session: Session, model: str, digest: str) -> str | None:
    """Return whom to go back to: the last one promoted under this name, but this one and those that are banned."""
    row = session.row(
        "SELECT d.digest FROM decisions d JOIN models m ON m.digest = d.digest "
        "WHERE m.model = ? AND d.decision = ? AND d.digest <> ? AND NOT EXISTS "
        "(SELECT 1 FROM decisions b WHERE b.digest = d.digest AND b.decision = ?) ORDER BY d.seq DESC",
        *(model, Decision.PROMOTED.value, digest, Decision.ROLLED_BACK.value),
    )
    return None if row is None else str(row[0])


def _decide(session: Session, facts: Registered, decision: Decision, *, replaced: str, reason: str, now: int) -> None:
    seq = append(session, now, ModelDecided(facts.digest, facts.model, decision.value, replaced, reason))
    session.run("INSERT INTO decisions VALUES (?, ?, ?, ?, ?)", seq, facts.digest, decision.value, reason, now)


def _ancestor(session: Session, digest: str) -> Ancestor:
    facts = _find(session, digest)
    row = session.row("SELECT digest, texts, events FROM datasets WHERE digest = ?", facts.dataset)
    dataset = None if row is None else Dataset(*row)
    decisions = _decisions(session, digest)
    return Ancestor(facts, dataset, decisions, champion=_champion(session, facts.model) == digest)
