"""Votes and stores for the tests of the feedback."""

import itertools
from dataclasses import replace
from typing import Final

from mlapi.feedback.database import Database
from mlapi.feedback.sql_store import SqlStore
from mlapi.feedback.votes import Sample, Vote

DAY_MS: Final = 86_400_000

VOTE: Final = Vote(
    model="project",
    tenant="default",
    subject="alice",
    answer="answer-1",
    text_key=None,
    label="NEGATIVE",
    served_label="POSITIVE",
    served_score=0.75,
    model_digest="0f" * 16,
    sample=Sample.NONE,
    text=None,
    comment=None,
    time_ms=1000,
)
"""Somebody thinks that an answer is wrong."""


def vote(**changes: object) -> Vote:
    """Return that vote with some changes; a text has a key."""
    if "text" in changes:
        changes = {"text_key": str(changes["text"]).encode().hex(), **changes}
    return replace(VOTE, **changes)  # type: ignore[arg-type]


def store_over(database: Database, *, text_days: float = 180.0) -> SqlStore:
    """Return a store whose random numbers can be foretold."""
    numbers = itertools.count(1)
    return SqlStore(database, text_days=text_days, token=lambda: f"n{next(numbers)}")
