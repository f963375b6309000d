"""Says what a soak found, and whether it passed: nothing lost, nothing wrong, nothing left unmeasured."""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from soak.gauges import Sample, descriptor_growth, memory_growth
from soak.ledger import Ledger
from soak.traffic import Metered
from tests.cluster.timeline import Line, Panel, render

_SOURCES: Final = ("l1", "l2", "model")
_LEAST_GRANTED: Final = 0.8
_MOST_GRANTED: Final = 1.05


@dataclass(frozen=True, slots=True)
class Soak:
    """What was done.

    Attributes:
        seconds: how long it took.
        ways: all ways to ask.
        attacks: all kinds of attacks.
        faults: all kinds of faults.
        replaced: how often a process was.
        redis_hurt_s: for how long Redis was not as it should be.
        idle_descriptors: open descriptors of the process that stays, before the first request and after the last.
    """

    seconds: float
    ways: Sequence[str]
    attacks: Sequence[str]
    faults: Sequence[str]
    replaced: int
    redis_hurt_s: float
    idle_descriptors: tuple[int, int]
    ledger: Ledger
    samples: Sequence[Sample]
    events: Sequence[tuple[float, str]]


def judge(soak: Soak) -> list[str]:
    """Return why a soak failed, in sentences; nothing: it passed."""
    ledger = soak.ledger
    reasons = [f"{count} × {kind}" for kind, count in ledger.failures.most_common()]
    reasons += _missing("no right answer by", soak.ways, ledger.answered)
    reasons += _missing("no text was answered from", _SOURCES, ledger.texts)
    reasons += _missing("never attacked by", soak.attacks, ledger.attacks)
    reasons += _missing("never injected:", soak.faults, ledger.faults)
    reasons += _quota_faults(soak)
    for name, growth in (
        ("memory", memory_growth(soak.samples)),
        ("descriptors", descriptor_growth(soak.samples)),
    ):
        if growth is None:
            reasons.append(f"{name}: too few samples to judge")
        elif not growth.flat:
            reasons.append(f"{name} grew from {growth.second:g} to {growth.last:g}, beyond {growth.bound:g}")
    before, after = soak.idle_descriptors
    if after > before + 2 * len(soak.faults):
        reasons.append(f"{after} descriptors are open without a caller, {before} were at the start")
    return reasons


def _missing(says: str, wanted: Iterable[str], seen: Mapping[str, int]) -> list[str]:
    return [f"{says} {name}" for name in wanted if not seen.get(name)]


def _quota_faults(soak: Soak) -> list[str]:
    """What a key with a quota got: all that it may have, and more only while processes counted for themselves."""
    granted, refused = soak.ledger.metered["granted"], soak.ledger.metered["refused"]
    least, most = soak.ledger.metered_due, Metered.RATE * soak.seconds
    alone = 2 * Metered.RATE * soak.redis_hurt_s + 4 * Metered.BURST * (len(soak.events) + 1)
    reasons = [] if refused else ["no text was beyond its quota"]
    if not (least and _LEAST_GRANTED * least <= granted <= _MOST_GRANTED * (most + Metered.BURST) + alone):
        reasons.append(f"{granted} texts within the quota were answered, {least:.0f} to {most:.0f} were due")
    return reasons


def text(soak: Soak) -> str:
    """Write the report."""
    ledger = soak.ledger
    reasons = judge(soak)
    memory, descriptors = memory_growth(soak.samples), descriptor_growth(soak.samples)
    lines = [
        f"{'FAILED' if reasons else 'passed'} after {soak.seconds:.0f} s",
        *(f"  because: {reason}" for reason in reasons),
        *(f"  example: {example}" for example in ledger.examples),
        (
            f"right answers: {ledger.answered.total()}, by {len(ledger.answered)} of {len(soak.ways)} ways to ask; "
            f"lost: {ledger.failures['lost']}, refused: {ledger.failures['refused']}, "
            f"wrong: {ledger.failures['wrong answer']}, 500: {ledger.failures['500']}"
        ),
        "texts answered: " + ", ".join(f"{source} {ledger.texts[source]}" for source in (*_SOURCES, "collapsed")),
        (
            f"texts of the key with a quota of {Metered.RATE:g} a second: {ledger.metered['granted']} answered, "
            f"{ledger.metered['refused']} refused"
        ),
        f"processes replaced under load: {soak.replaced}; Redis was hurt for {soak.redis_hurt_s:.0f} s in all",
        *_table("faults", soak.faults, ledger.faults),
        *_table("attacks", soak.attacks, ledger.attacks),
    ]
    if memory is not None and descriptors is not None:
        lines.append(
            f"memory of the process that stayed, second and last quarter: {memory.second:.1f} and {memory.last:.1f} "
            f"MiB (bound {memory.bound:.1f}); descriptors: {descriptors.second:g} and {descriptors.last:g} "
            f"(bound {descriptors.bound:g}); without a caller {soak.idle_descriptors[0]} before and "
            f"{soak.idle_descriptors[1]} after"
        )
    return "\n".join(lines) + "\n"


def _table(title: str, names: Iterable[str], counts: Mapping[str, int]) -> list[str]:
    return [f"{title}:", *(f"  {counts.get(name, 0):>8}  {name}" for name in names)]


def picture(soak: Soak) -> str:
    """Draw memory, descriptors and answers over time as an SVG; a mark is a process that was replaced."""
    samples = soak.samples
    rates = [
        (later.when, (later.answered - earlier.answered) / (later.when - earlier.when))
        for earlier, later in itertools.pairwise(samples)
    ]
    panels = [
        _panel(
            "Resident memory, MiB",
            Line("the process that stays", [(sample.when, sample.elder_mib) for sample in samples]),
            Line("the one that is replaced", [(sample.when, sample.other_mib) for sample in samples]),
        ),
        _panel(
            "Open file descriptors",
            Line("the process that stays", [(sample.when, float(sample.elder_descriptors)) for sample in samples]),
            Line("the one that is replaced", [(sample.when, float(sample.other_descriptors)) for sample in samples]),
        ),
        _panel("Right answers a second", Line("all wire formats", rates)),
    ]
    marks = [(at, "") for at, name in soak.events if name == "a process replaced"]
    return render(panels, marks, soak.seconds)


def _panel(title: str, *lines: Line) -> Panel:
    highest = max((value for line in lines for _, value in line.points), default=1.0)
    step = 10 ** max(0, len(str(int(highest))) - 1)
    return Panel(title, 0.0, float((int(highest) // step + 1) * step), lines)
