"""The gate of a rollout: warms a new version with the hot texts of the old one, compares both, and judges."""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Literal

from mlapi.rollout.comparison import Bounds, Comparison, TooFewTextsError, compare
from mlapi.rollout.pace import Gathered, Pace, gather
from mlapi.rollout.sample import hot_texts, with_given
from mlapi.rollout.version import Identity, Place, Version, VersionError

Verdict = Literal["passed", "failed", "unmeasured"]
"""`unmeasured`: too little could be measured; whoever asks for a judgement must not take that for a pass."""

MIN_WARMED: Final = 0.95


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do.

    Attributes:
        old: the version that serves.
        new: the version that is to.
        pace: how to ask.
        bounds: how far they may be apart.
        limit: how many hot texts to take.
        asks: how often to ask the old version for hot texts.
        given: texts beside the hot ones; with them, an old version without a sample is no fault.
        expected: what the new version's model digest begins with; empty: any.
    """

    old: Place
    new: Place
    pace: Pace
    bounds: Bounds = field(default_factory=Bounds)
    limit: int = 5_000
    asks: int = 4
    given: Sequence[str] = ()
    expected: str = ""


@dataclass(frozen=True, slots=True)
class Warmed:
    """What came of a warm-up.

    Attributes:
        verdict: `passed` if at least 95 % of the texts were answered by every address of the new version, or refused
            for good, and at least one was answered.
        reason: why it is not.
        new: the new version's model.
        texts: how many were to be warmed, over all addresses.
        answered: how many were.
        known: how many of those it knew already.
        refused: how many it will never answer.
        failed: on how many it failed.
        left: how many the time was too short for.
        waits: how often it asked to come again later.
    """

    verdict: Verdict
    reason: str
    new: Identity
    texts: int
    answered: int
    known: int
    refused: int
    failed: int
    left: int
    waits: int


@dataclass(frozen=True, slots=True)
class Compared:
    """What came of a comparison; `comparison` is None where nothing was compared."""

    verdict: Verdict
    reason: str
    old: Identity
    new: Identity
    comparison: Comparison | None = None


def report(result: Warmed | Compared) -> dict[str, Any]:
    """Return a result for JSON. It has counts and rates, and no text."""
    return asdict(result)


def collect(plan: Plan) -> dict[str, int]:
    """Return the texts to ask for, with how often each is asked for.

    Raises:
        VersionError: the old version does not give its hot texts, and there are no others.
    """
    try:
        hot = hot_texts(plan.old, plan.limit, plan.asks)
    except VersionError as error:
        if not plan.given:
            raise
        plan.pace.say(f"going on with the given texts alone: {error}")
        hot = {}
    return with_given(hot, plan.given)


def warm(plan: Plan, texts: Sequence[str]) -> Warmed:
    """Have the new version answer texts, so that they are in its caches.

    Raises:
        VersionError: it cannot be asked, or is not the expected one.
    """
    total = Gathered()
    count = 0
    addresses = plan.new.addresses()
    for address in addresses:
        with closing(Version(plan.new, address)) as version:
            identity = _expected(version, plan)
            gathered = gather(version, texts, plan.pace, "warming")
        count += len(gathered.scores)
        total.refused += gathered.refused
        total.failed += gathered.failed
        total.left += gathered.left
        total.waits += gathered.waits
        for source, found in gathered.sources.items():
            total.sources[source] = total.sources.get(source, 0) + found
    asked = len(texts) * len(addresses)
    verdict: Verdict
    if not asked:
        verdict, reason = "unmeasured", "there are no hot texts: nothing was warmed"
    elif not count or count + len(total.refused) < MIN_WARMED * asked:
        verdict = "failed"
        reason = (
            f"{count} of {asked} texts were warmed; {len(total.refused)} were refused, the version failed on "
            f"{len(total.failed)}, and {total.left} were left when the time was over"
        )
    else:
        verdict, reason = "passed", ""
    return Warmed(
        verdict=verdict,
        reason=reason,
        new=identity,
        texts=asked,
        answered=count,
        known=total.sources.get("l1", 0) + total.sources.get("l2", 0),
        refused=len(total.refused),
        failed=len(total.failed),
        left=total.left,
        waits=total.waits,
    )


def same_model(plan: Plan) -> Compared | None:
    """Return a pass where both versions serve the same model digest, else None.

    Their answers are then the same by construction, and so they share their entries in the cache: there is nothing to
    compare.

    Raises:
        VersionError: one of them cannot be asked, or the new one is not the expected one.
    """
    with closing(Version(plan.old)) as old_version, closing(Version(plan.new)) as new_version:
        old, new = old_version.identity(), _expected(new_version, plan)
    if old.digest != new.digest:
        return None
    return Compared("passed", "both serve the same model digest: their answers are the same", old, new)


def compare_versions(plan: Plan, weights: dict[str, int]) -> Compared:
    """Ask two versions of different models for texts and judge the difference.

    Raises:
        VersionError: one of them cannot be asked, or the new one is not the expected one.
    """
    # What the old version is asked for here says nothing of what its callers ask for.
    with closing(Version(plan.old, stores=False)) as old_version, closing(Version(plan.new)) as new_version:
        old, new = old_version.identity(), _expected(new_version, plan)
        if set(old.labels) != set(new.labels):
            reason = f"the labels differ: {', '.join(old.labels)} and {', '.join(new.labels)}"
            return Compared("failed", reason, old, new)
        texts = list(weights)
        said = gather(old_version, texts, plan.pace, "asking the old version")
        answered = [text for text in texts if text in said.scores]
        now = gather(new_version, answered, plan.pace, "asking the new version")
    try:
        comparison = compare(weights, said.scores, now.scores, now.refused + now.failed, plan.bounds)
    except TooFewTextsError as error:
        return Compared("unmeasured", str(error), old, new)
    reason = "; ".join(comparison.problems)
    return Compared("failed" if reason else "passed", reason, old, new, comparison)


def _expected(version: Version, plan: Plan) -> Identity:
    """Return which model the new version serves.

    Raises:
        VersionError: it is not the expected one.
    """
    identity = version.identity()
    if not identity.digest.startswith(plan.expected):
        msg = f"{plan.new.url} serves the model {identity.digest[:12]}, and not {plan.expected}"
        raise VersionError(msg)
    return identity
