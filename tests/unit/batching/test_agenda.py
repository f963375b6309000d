"""What is due when, against the plain account of it."""

import math
from collections.abc import Sequence
from typing import TypeAlias

from hypothesis import given, settings
from hypothesis import strategies as st

from mlapi.batching.agenda import Agenda

SLOT_S = 0.1

Entry: TypeAlias = tuple[float, int]  # due, tokens

# Half of a slot away from its bounds, so that each is due exactly when its slot is.
DUES = st.integers(1, 40).map(lambda number: (number + 0.5) * SLOT_S)
ENTRIES = st.lists(st.tuples(DUES, st.integers(1, 100)), max_size=20)


def agenda_of(entries: Sequence[Entry]) -> Agenda[int]:
    agenda: Agenda[int] = Agenda(SLOT_S)
    for number, (due, tokens) in enumerate(entries):
        agenda.add(number, due, tokens)
    return agenda


def late_by(entries: Sequence[Entry], rate: float) -> list[tuple[float, float]]:
    """Return of each entry its due time, and by how many tokens it is late."""
    return [(due, sum(tokens for other, tokens in entries if other <= due) - due * rate) for due, _ in entries]


@settings(deadline=None)  # Other work on the machine is no failure.
@given(ENTRIES, st.floats(1.0, 500.0), DUES, st.integers(1, 100))
def test_it_says_what_the_plain_account_says(entries: list[Entry], rate: float, due: float, tokens: int) -> None:
    agenda = agenda_of(entries)
    before = late_by(entries, rate)
    assert math.isclose(agenda.spare(0.0, rate), min((-late for _, late in before), default=math.inf), abs_tol=1e-6)
    earlier = min((-late for other, late in before if other < due), default=math.inf)
    assert math.isclose(agenda.spare(0.0, rate, before=due), earlier, abs_tol=1e-6)
    after = late_by([*entries, (due, tokens)], rate)
    wrong = [after[-1][1]]
    wrong += [late for (other, was), (_, late) in zip(before, after, strict=False) if other > due and was <= 0]
    assert math.isclose(agenda.excess(tokens, due, 0.0, rate), max(wrong), abs_tol=1e-6)


@given(ENTRIES)
def test_what_is_taken_bit_by_bit_leaves_nothing(entries: list[Entry]) -> None:
    agenda = agenda_of(entries)
    for number, (due, tokens) in enumerate(entries):
        agenda.taken(number, due, tokens - tokens // 2, left=tokens // 2)
        if tokens // 2:
            agenda.taken(number, due, tokens // 2, left=0)
    assert (agenda.tokens, agenda.first(), agenda.spare(0.0, 1.0)) == (0, None, math.inf)


def test_the_first_is_who_is_due_first_and_within_a_slot_who_came_first() -> None:
    agenda = agenda_of([(5.08, 1), (5.02, 1), (7.0, 1)])
    assert agenda.first() == 0
    agenda.taken(0, 5.08, 1, left=0)
    assert agenda.first() == 1
    agenda.taken(1, 5.02, 1, left=0)
    assert agenda.first() == 2


def test_those_of_a_slot_are_due_when_the_first_of_them_is() -> None:
    agenda = agenda_of([(5.08, 1), (5.02, 1)])
    assert math.isclose(agenda.spare(0.0, 100.0), 502 - 2)
    assert math.isclose(agenda.excess(1, 5.01, 0.0, 100.0), 3 - 501)
    assert math.isclose(agenda.excess(1, 5.09, 0.0, 100.0), 3 - 502)


def test_what_is_never_due_is_in_nobody_s_way() -> None:
    agenda = agenda_of([(math.inf, 100)])
    assert (agenda.tokens, agenda.first(), agenda.spare(0.0, 1.0)) == (0, None, math.inf)
    agenda.taken(0, math.inf, 100, left=0)
