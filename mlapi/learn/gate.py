"""Decides whether a model is good enough: to become a bundle, and to replace the champion.

What was not measured is not good enough.
"""

import math
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Final, TypeAlias, TypeGuard

import msgspec

Share: TypeAlias = Annotated[float, msgspec.Meta(ge=0.0, le=1.0)]

_ONE_SIDED_95: Final = 1.6448536269514722
"""Of the normal distribution."""


class Floors(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a model has to reach whatever the champion does.

    Attributes:
        accuracy: least accuracy on each evaluation set that is named here.
        balanced_accuracy: the same for the mean of the labels' recalls.
        behaviour: least share of passed cases for each behavioural test that is named here.
        bias_gap: how far the mean score may differ between groups of people in otherwise equal sentences.
    """

    accuracy: dict[str, Share]
    balanced_accuracy: dict[str, Share] = {}
    behaviour: dict[str, Share] = {}
    bias_gap: Share = 1.0


class Contest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a model has to do better than the champion, and what not worse.

    Attributes:
        margin: on each frozen set, how much accuracy may be lost: the lower bound of the difference (95 %, one-sided)
            must not be below it.
        p_value: on fresh opinions, the largest p-value of McNemar's exact test at which more right answers count.
        fresh_texts: how many texts the fresh opinions must agree on at least.
        agreement: least share of the texts of each frozen set that both give the same label.
        subject_share: of the texts that were learned from, the most that may rest on a single subject.
    """

    margin: Share = 0.02
    p_value: Share = 0.05
    fresh_texts: Annotated[int, msgspec.Meta(ge=1)] = 20
    agreement: Share = 0.8
    subject_share: Share = 0.1


def shortfalls(metrics: Mapping[str, Any], floors: Floors) -> list[str]:
    """Say what a model lacks; empty if nothing.

    Args:
        metrics: as `training.evaluation` gives them.
        floors: what is asked for.
    """
    found = []
    for name, least in floors.accuracy.items():
        value = metrics["sets"].get(name, {}).get("accuracy", {}).get("value")
        found += _below(f"accuracy on {name}", value, least)
    for name, least in floors.balanced_accuracy.items():
        found += _below(f"balanced accuracy on {name}", metrics["sets"].get(name, {}).get("balanced_accuracy"), least)
    for name, least in floors.behaviour.items():
        tested = metrics["behaviour"].get(name, {})
        found += _below(f"behaviour: {name}", tested.get("value") if tested.get("of") else None, least)
    gap = metrics.get("bias_gap")
    if floors.bias_gap < 1.0 and (not _measured(gap) or gap > floors.bias_gap):
        said = "was not measured" if not _measured(gap) else f"is {gap:.4f}"
        found.append(f"the gap between groups of people {said}; at most {floors.bias_gap:.4f} is allowed")
    return found


def defeats(metrics: Mapping[str, Any], contest: Contest, champion: str) -> list[str]:
    """Say where a model does not do against the champion what it has to; empty if nowhere.

    Args:
        metrics: `frozen`, as `training.evaluation` gives them; `fresh`, as `mlapi.learn.evaluation` does; and
            `largest_subject_share` of the texts that were learned from.
        contest: what is asked for.
        champion: the digest of the champion's bundle.
    """
    found = []
    sets = metrics.get("frozen", {}).get("sets", {})
    if not sets:
        found.append("no frozen set was measured")
    for name, figures in sets.items():
        found += _on_frozen(name, figures, contest, champion)
    found += _on_fresh(metrics.get("fresh") or {}, contest)
    share = metrics.get("largest_subject_share")
    if not _measured(share):
        found.append("it was not measured how many texts rest on a single subject")
    elif share > contest.subject_share:
        found.append(
            f"{share:.4f} of the texts rest on a single subject; at most {contest.subject_share:.4f} is allowed"
        )
    return found


def _on_frozen(name: str, figures: Mapping[str, Any], contest: Contest, champion: str) -> Iterator[str]:
    against, of = figures.get("against") or {}, figures.get("accuracy", {}).get("of")
    won, lost, agreement = against.get("won"), against.get("lost"), against.get("agreement")
    if not of or won is None or lost is None or against.get("champion") != champion:
        yield f"on {name} the champion was not measured"
        return
    bound = lower_bound(won, lost, of)
    if bound < -contest.margin:
        yield (
            f"on {name} up to {-bound:.4f} of accuracy may be lost ({won} won, {lost} lost of {of}); "
            f"at most {contest.margin:.4f} is allowed"
        )
    yield from _below(f"agreement with the champion on {name}", agreement, contest.agreement)


def _on_fresh(fresh: Mapping[str, Any], contest: Contest) -> Iterator[str]:
    texts, p_value = fresh.get("texts") or 0, fresh.get("p_value")
    if texts < contest.fresh_texts or not _measured(p_value):
        yield f"fresh opinions agree on {texts} texts; {contest.fresh_texts} are required to tell the two apart"
        return
    won, lost = fresh["only_this_right"], fresh["only_other_right"]
    if won <= lost or p_value > contest.p_value:
        yield (
            f"on {texts} texts with fresh opinions it is not better: {won} won, {lost} lost, p {p_value:.4f}; "
            f"at most {contest.p_value:.4f} is required"
        )


def lower_bound(won: int, lost: int, of: int) -> float:
    """Return the lower bound of the difference of two accuracies on the same texts (95 %, one-sided)."""
    difference = (won - lost) / of
    variance = (won + lost) / of - difference * difference
    return difference - _ONE_SIDED_95 * math.sqrt(max(0.0, variance) / of)


def _measured(value: float | None) -> TypeGuard[float]:
    # What divides by no text at all is no number, and below no bound either.
    return value is not None and not math.isnan(value)


def _below(what: str, value: float | None, least: float) -> list[str]:
    if not _measured(value):
        return [f"{what} was not measured; at least {least:.4f} is required"]
    return [f"{what} is {value:.4f}; at least {least:.4f} is required"] if value < least else []
