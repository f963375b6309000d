"""Compares a store of feedback with its own events: each hash, and each opinion that they lead to."""

from collections.abc import Iterator
from typing import Final, TypeAlias

import msgspec

from mlapi.feedback.base import Verdict
from mlapi.feedback.database import Session
from mlapi.feedback.events import ROOT, Event, ItemErased, ItemsMerged, SubjectErased, VoteCast, decode, event_hash

_MAX_FAULTS: Final = 20

_Opinions: TypeAlias = dict[tuple[str, str], tuple[int, str]]
"""Number of the event and label, by item and subject."""


def verify(session: Session) -> Verdict:
    """Read all events in their order; the faults that are found after twenty are counted only."""
    faults: list[str] = []
    led_to: _Opinions = {}
    previous, last = ROOT, 0
    for seq, at, kind, content, own in session.rows(
        "SELECT seq, time_ms, kind, content, hash FROM events ORDER BY seq"
    ):
        if seq != last + 1:
            faults.append(f"event {last + 1} is missing")
        if own != event_hash(previous, seq, at, content):
            faults.append(f"event {seq} was changed, or one before it: its hash is another")
        previous, last = own, seq
        try:
            event = decode(content)
        except msgspec.DecodeError:
            faults.append(f"event {seq} cannot be read")
            continue
        if event.__struct_config__.tag != kind:
            faults.append(f"event {seq} is of another kind than its row says")
        _apply(event, seq, led_to)
    if session.row("SELECT seq, hash FROM chain") != (last, previous):
        faults.append("the last events are missing: the head of the chain is another")
    faults += _compare(session, led_to)
    if (more := len(faults) - _MAX_FAULTS) > 0:
        faults[_MAX_FAULTS:] = [f"and {more} more"]
    return Verdict(last, previous, faults)


def _apply(event: Event, seq: int, opinions: _Opinions) -> None:
    match event:
        case VoteCast(item=item, subject=subject, label=label):
            opinions[item, subject] = seq, label
        case ItemsMerged(item=item, into=into):
            for key in [key for key in opinions if key[0] == item]:
                moved = opinions.pop(key)
                place = into, key[1]
                opinions[place] = max(moved, opinions.get(place, moved))
        case ItemErased(item=item):
            for key in [key for key in opinions if key[0] == item]:
                del opinions[key]
        case SubjectErased(subject=subject):
            for key in [key for key in opinions if key[1] == subject]:
                del opinions[key]


def _compare(session: Session, led_to: _Opinions) -> Iterator[str]:
    for item, subject, seq, label in session.rows("SELECT item, subject, seq, label FROM opinions"):
        expected = led_to.pop((item, subject), None)
        if expected != (seq, label):
            yield f"the opinion of {subject} on {item} is not what the events say"
    for item, subject in led_to:
        yield f"the opinion of {subject} on {item} is missing"
