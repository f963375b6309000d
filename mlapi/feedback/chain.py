"""Adds events to the chain."""

from mlapi.feedback.database import Session
from mlapi.feedback.events import Event, content_of, event_hash


def append(session: Session, time_ms: int, event: Event) -> int:
    """Add an event, at a time in milliseconds since 1970; return its number."""
    ((last, previous),) = session.rows("SELECT seq, hash FROM chain")
    seq = int(last) + 1
    content = content_of(event)
    own = event_hash(previous, seq, time_ms, content)
    session.run("INSERT INTO events VALUES (?, ?, ?, ?, ?)", seq, time_ms, event.__struct_config__.tag, content, own)
    session.run("UPDATE chain SET seq = ?, hash = ?", seq, own)
    return seq
