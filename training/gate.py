"""Decides whether a model is good enough to become a bundle; what was not measured is not good enough."""

import math
from collections.abc import Mapping
from typing import Any, TypeGuard

from training.params import Gate


def shortfalls(metrics: Mapping[str, Any], gate: Gate) -> list[str]:
    """Say what a model lacks; empty if nothing.

    Args:
        metrics: as `model_evaluation` wrote them.
        gate: what is asked for.
    """
    found = []
    for name, least in gate.accuracy.items():
        value = metrics["sets"].get(name, {}).get("accuracy", {}).get("value")
        found += _below(f"accuracy on {name}", value, least)
    for name, least in gate.balanced_accuracy.items():
        found += _below(f"balanced accuracy on {name}", metrics["sets"].get(name, {}).get("balanced_accuracy"), least)
    for name, least in gate.behaviour.items():
        tested = metrics["behaviour"].get(name, {})
        found += _below(f"behaviour: {name}", tested.get("value") if tested.get("of") else None, least)
    gap = metrics.get("bias_gap")
    if gate.bias_gap < 1.0 and (not _measured(gap) or gap > gate.bias_gap):
        said = "was not measured" if not _measured(gap) else f"is {gap:.4f}"
        found.append(f"the gap between groups of people {said}; at most {gate.bias_gap:.4f} is allowed")
    return found


def _measured(value: float | None) -> TypeGuard[float]:
    # What divides by no text at all is no number, and below no bound either.
    return value is not None and not math.isnan(value)


def _below(what: str, value: float | None, least: float) -> list[str]:
    if not _measured(value):
        return [f"{what} was not measured; at least {least:.4f} is required"]
    return [f"{what} is {value:.4f}; at least {least:.4f} is required"] if value < least else []
