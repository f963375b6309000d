"""The runs of the learning loop: who asked for each, how far it is, and who works on it now.

A run is one row. Whoever works on it holds a lease, and a fencing number that rises with each new holder: what a holder
writes after somebody else took over is refused, however late it comes. Each change of state is a row of its own, too.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from hashlib import blake2b
from typing import Final, NamedTuple

import msgspec

from mlapi.feedback.database import Database, Row, Session


class LostLeaseError(Exception):
    """Somebody else works on the run by now: nothing was written."""


class State(StrEnum):
    """How far a run is; each names what is to be done next, or how the run ended."""

    REQUESTED = "requested"
    SNAPSHOTTING = "snapshotting"
    """The texts to learn from are chosen."""

    TRAINING = "training"
    EVALUATING = "evaluating"
    """The candidate is there, and is compared with the champion."""

    REGISTERED = "registered"
    """Candidate and report are in the registry; the gate decides."""

    PROPOSED = "proposed"
    """The overlay is to name the candidate instead of the champion that it was compared with."""

    CANARY = "canary"
    """The overlay names it; the service has yet to answer with it."""

    PROMOTED = "promoted"
    REJECTED = "rejected"
    ROLLED_BACK = "rolled_back"
    FAILED = "failed"


ENDED: Final = frozenset({State.PROMOTED, State.REJECTED, State.ROLLED_BACK, State.FAILED})


class Facts(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What a run has found out so far.

    Attributes:
        dataset: SHA-256 of the texts to learn from.
        subject_share: of those texts, the most that rest on a single subject.
        stages: how many commands of the training are done.
        candidate: digest of the bundle that was trained.
        code: the commit of the code that trained it, where it is known.
        champion: digest of the bundle that it was compared with, and is to replace; empty where there is none.
        report: SHA-256 of the report.
        lacking: what the gate found wanting.
        commit: the commit that put the candidate into the overlay.
        since_ms: when the overlay named it, in milliseconds since 1970.
        stale: how often the champion had changed when the candidate was to be proposed.
        error: what went wrong when this state was attempted last; empty where nothing did.
    """

    dataset: str = ""
    subject_share: float | None = None
    stages: int = 0
    candidate: str = ""
    code: str = ""
    champion: str = ""
    report: str = ""
    lacking: tuple[str, ...] = ()
    commit: str = ""
    since_ms: int = 0
    stale: int = 0
    error: str = ""


class Run(NamedTuple):
    """One run.

    Attributes:
        id: follows from the key.
        key: what asked for it; the same key never makes a second run.
        model: the name that the model is served under.
        state: how far it is.
        reason: why, in words.
        facts: what was found out.
        attempts: how often this state was begun.
        fence: the fencing number of the process that works on it, or that did last.
        lease_until: until when it is theirs, in milliseconds since 1970; 0: nobody's.
        created_ms: when it was asked for, likewise.
        changed_ms: when the state changed last, likewise.
    """

    id: str
    key: str
    model: str
    state: State
    reason: str
    facts: Facts
    attempts: int
    fence: int
    lease_until: int
    created_ms: int
    changed_ms: int

    @property
    def ended(self) -> bool:
        """Whether nothing is to be done any more."""
        return self.state in ENDED


class Step(NamedTuple):
    """One change of state."""

    number: int
    state: State
    note: str
    time_ms: int


class Move(NamedTuple):
    """A change of state to come: the new state, what is known then, and why, in words."""

    state: State
    facts: Facts
    note: str


class Trigger(NamedTuple):
    """What asks for a run."""

    key: str
    model: str
    reason: str


def run_id(key: str) -> str:
    """Return the id of the run that a key asks for."""
    return blake2b(key.encode(), digest_size=8, person=b"mlapi run").hexdigest()


_COLUMNS: Final = "id, trigger_key, model, state, reason, facts, attempts, fence, lease_until, created_ms, changed_ms"
_ENDED: Final = ", ".join(f"'{state.value}'" for state in sorted(ENDED))
_SELECT: Final = f"SELECT {_COLUMNS} FROM learning_runs"  # noqa: S608  constants of this module


class Runs:
    """The table of runs; every method may raise a `StoreError`."""

    def __init__(self, database: Database, *, notify: Sequence[tuple[str, frozenset[State]]] = ()) -> None:
        """Take the database.

        Args:
            database: where the table is.
            notify: names of those who are to hear of runs, with the states that they want to hear of.
        """
        self._database = database
        self._notify = notify

    def request(self, triggers: Sequence[Trigger], now: int) -> list[Run]:
        """Ask for runs, all or none; return those that were new."""
        made = []
        with self._database.writing() as session:
            for trigger in triggers:
                own = run_id(trigger.key)
                added = session.run(
                    "INSERT INTO learning_runs VALUES (?, ?, ?, ?, ?, '{}', 0, 0, 0, ?, ?) ON CONFLICT DO NOTHING",
                    *(own, trigger.key, trigger.model, State.REQUESTED.value, trigger.reason, now, now),
                )
                if added:
                    self._note(session, own, State.REQUESTED, trigger.reason, now)
                    made.append(_find(session, own))
        return made

    def claim(self, model: str, now: int, lease_ms: int) -> Run | None:
        """Take the oldest run of a model that has not ended; None where there is none, or it is somebody else's.

        The runs of a model go one after the other: each is compared with the champion that the one before it left.
        """
        with self._database.writing() as session:
            row = session.row(
                f"{_SELECT} WHERE model = ? AND state NOT IN ({_ENDED}) ORDER BY created_ms, id LIMIT 1", model
            )
            if row is None or (found := _run(row)).lease_until > now:
                return None
            session.run(
                "UPDATE learning_runs SET fence = fence + 1, attempts = attempts + 1, lease_until = ? WHERE id = ?",
                *(now + lease_ms, found.id),
            )
            return _find(session, found.id)

    def renew(self, run: Run, now: int, lease_ms: int) -> None:
        """Keep a run for longer.

        Raises:
            LostLeaseError: it is somebody else's.
        """
        with self.holding(run) as session:
            session.run("UPDATE learning_runs SET lease_until = ? WHERE id = ?", now + lease_ms, run.id)

    def note_facts(self, run: Run, facts: Facts) -> Run:
        """Write down what was found out within a state.

        Raises:
            LostLeaseError: it is somebody else's.
        """
        with self.holding(run) as session:
            session.run("UPDATE learning_runs SET facts = ? WHERE id = ?", _written(facts), run.id)
        return run._replace(facts=facts)

    def note_error(self, run: Run, error: str) -> None:
        """Write down what went wrong in the state that a run is in, beside what was found out.

        Raises:
            LostLeaseError: it is somebody else's.
        """
        with self.holding(run) as session:
            facts = msgspec.structs.replace(_find(session, run.id).facts, error=error)
            session.run("UPDATE learning_runs SET facts = ? WHERE id = ?", _written(facts), run.id)

    def release(self, run: Run, *, waiting: bool) -> None:
        """Let others have a run, in the state that it is in; one that only waits has not been attempted in vain.

        Raises:
            LostLeaseError: it is somebody else's.
        """
        with self.holding(run) as session:
            session.run("UPDATE learning_runs SET lease_until = 0 WHERE id = ?", run.id)
            if waiting:
                session.run("UPDATE learning_runs SET attempts = 0 WHERE id = ?", run.id)

    def advance(self, run: Run, move: Move, now: int) -> Run:
        """Change the state of a run, which is kept unless it has ended.

        Raises:
            LostLeaseError: it is somebody else's.
        """
        with self.holding(run) as session:
            return self.advance_within(session, run, move, now)

    @contextmanager
    def holding(self, run: Run) -> Iterator[Session]:
        """Open a transaction in which the run is the caller's: what is written in it, is written by its holder.

        Raises:
            LostLeaseError: it is somebody else's; nothing of the block was done.
        """
        with self._database.writing() as session:
            if session.row("SELECT fence FROM learning_runs WHERE id = ?", run.id) != (run.fence,):
                msg = f"somebody else works on the run {run.id} by now"
                raise LostLeaseError(msg)
            yield session

    def advance_within(self, session: Session, run: Run, move: Move, now: int) -> Run:
        """Do as `advance`, in a transaction of `holding`."""
        session.run(
            "UPDATE learning_runs SET state = ?, facts = ?, attempts = 1, changed_ms = ? WHERE id = ?",
            *(move.state.value, _written(move.facts), now, run.id),
        )
        if move.state in ENDED:
            session.run("UPDATE learning_runs SET lease_until = 0 WHERE id = ?", run.id)
        self._note(session, run.id, move.state, move.note, now)
        return _find(session, run.id)

    def revoke(self, session: Session, digest: str, note: str, now: int) -> None:
        """Note of the promoted run that made a model that it was rolled back; again: nothing."""
        rows = list(session.rows(f"{_SELECT} WHERE state = ?", State.PROMOTED.value))
        for run in map(_run, rows):
            if run.facts.candidate == digest:
                self.advance_within(session, run, Move(State.ROLLED_BACK, run.facts, note), now)

    def find(self, beginning: str) -> list[Run]:
        """Return the runs whose id begins so, the oldest first."""
        with self._database.reading() as session:
            rows = session.rows(f"{_SELECT} WHERE id LIKE ? ORDER BY created_ms, id", f"{beginning}%")
            return [_run(row) for row in rows]

    def counts(self) -> dict[tuple[str, State], int]:
        """Return how many runs there are, by model and state."""
        with self._database.reading() as session:
            rows = session.rows("SELECT model, state, count(*) FROM learning_runs GROUP BY model, state")
            return {(model, State(state)): count for model, state, count in rows}

    def latest(self, model: str, count: int) -> list[Run]:
        """Return the latest runs of a model, the newest first; of all models where it is empty."""
        with self._database.reading() as session:
            rows = session.rows(
                f"{_SELECT} WHERE model = ? OR ? = '' ORDER BY created_ms DESC, id DESC LIMIT ?", model, model, count
            )
            return [_run(row) for row in rows]

    def unfinished(self) -> list[Run]:
        """Return the runs of all models that have not ended, the oldest first."""
        with self._database.reading() as session:
            rows = session.rows(f"{_SELECT} WHERE state NOT IN ({_ENDED}) ORDER BY created_ms, id")
            return [_run(row) for row in rows]

    def ended_last(self, count: int) -> list[Run]:
        """Return the runs of all models that ended last, the latest first."""
        query = f"{_SELECT} WHERE state IN ({_ENDED}) ORDER BY changed_ms DESC, id DESC LIMIT ?"
        with self._database.reading() as session:
            return [_run(row) for row in session.rows(query, count)]

    def ended_as(self, model: str, state: State, since_ms: int = 0) -> list[Run]:
        """Return the runs of a model that ended in a state at this time or later, the latest first."""
        query = f"{_SELECT} WHERE model = ? AND state = ? AND changed_ms >= ? ORDER BY changed_ms DESC, id DESC"
        with self._database.reading() as session:
            return [_run(row) for row in session.rows(query, model, state.value, since_ms)]

    def steps(self, run: str) -> list[Step]:
        """Return the changes of state of a run, in order."""
        with self._database.reading() as session:
            rows = session.rows(
                "SELECT number, state, note, time_ms FROM learning_steps WHERE run = ? ORDER BY number", run
            )
            return [Step(number, State(state), note, at) for number, state, note, at in rows]

    def _note(self, session: Session, run: str, state: State, note: str, now: int) -> None:
        (number,) = session.row("SELECT count(*) FROM learning_steps WHERE run = ?", run) or (0,)
        session.run("INSERT INTO learning_steps VALUES (?, ?, ?, ?, ?)", run, number, state.value, note, now)
        for target, states in self._notify:
            if state in states:
                identity = f"{run}/{number}/{target}"
                session.run("INSERT INTO notices VALUES (?, ?, ?, ?, 0, 0, 0)", identity, run, number, target)


def _find(session: Session, run: str) -> Run:
    row = session.row(f"{_SELECT} WHERE id = ?", run)
    if row is None:
        msg = f"the run {run} is gone"
        raise LostLeaseError(msg)
    return _run(row)


def _run(row: Row) -> Run:
    own, key, model, state, reason, facts = row[:6]
    return Run(own, key, model, State(state), reason, msgspec.json.decode(facts, type=Facts), *row[6:])


def _written(facts: Facts) -> str:
    return msgspec.json.encode(facts).decode()
