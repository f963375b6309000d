"""What every store of feedback does, and how it fails."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol

from mlapi.feedback.votes import Opinion, Served, Status, Vote


class StoreError(Exception):
    """The store cannot be used now: it is gone, full, busy for too long, or not the one that belongs here."""


class Verdict(NamedTuple):
    """What a look at the whole store found.

    Attributes:
        events: how many there are.
        head: the hash of the last one, which stands for all of them; empty where there is none.
        faults: what is wrong, one sentence each.
    """

    events: int
    head: str
    faults: Sequence[str]


class Erased(NamedTuple):
    """How much was taken out of a store."""

    opinions: int
    texts: int


class Store(Protocol):
    """Opinions, and the events that led to them. For one thread at a time.

    Events are only ever added, each with the hash of the one before it. Whatever can tell more than that somebody had
    an opinion on something lies beside them and can be erased. Every method may raise a `StoreError`; then nothing of
    what it does was done, except that a commit whose answer was lost may have been.
    """

    def record(self, votes: Sequence[Vote]) -> list[Status]:
        """Take votes, in their order, all of them or none; they are safe when this returns.

        Returns:
            What each did.
        """

    def check(self) -> None:
        """Make sure that it answers."""

    def purge(self, now: int) -> int:
        """Erase texts and comments whose time is over at `now`, milliseconds since 1970; return how many."""

    def erase_answer(self, answer: str, now: int) -> Erased:
        """Erase all that is known of one text, by the pseudonym of an answer to it; its events stay, about nothing."""

    def erase_subject(self, tenant: str, subject: str, now: int) -> Erased:
        """Erase the opinions of a subject and the texts that it gave; its events stay, by nobody."""

    def opinions(self, model: str) -> Iterator[Opinion]:
        """Yield the current opinions on texts of one model, by item and subject."""

    def served(self, model: str) -> Iterator[Served]:
        """Yield what the models behind one name said of texts that there are opinions on, by item and digest."""

    def verify(self) -> Verdict:
        """Compute all hashes anew, and compare the opinions with what the events lead to."""

    def has_event(self, own_hash: str) -> bool:
        """Tell whether there is an event with this hash."""

    def close(self) -> None:
        """Release it."""
