"""Chooses by the processor's instruction set how an OpenVINO graph is computed, and says why."""

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from mlapi.machine.instruction_set import (
    has_wide_vectors,
    multiplies_bf16_tiles,
    multiplies_int8,
    multiplies_int8_tiles,
)

Precision: TypeAlias = Literal["fp32", "bf16", "int8"]

STATIC_GRAPH: Final = "static.xml"
"""The file of a bundle that holds a graph whose scales are fixed."""

STATIC: Final = "int8-static"
"""The arithmetic of the graph whose scales are fixed."""

_STREAMS: Final = 2
"""Measured on two processors; more of them share out their threads among two streams, which nobody has measured."""

_TRIAL_TOKENS: Final = 64


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """One way to compute a graph.

    Attributes:
        name: what the products are computed in; part of the model digest.
        reason: why this one, for people.
        hint: OpenVINO's `INFERENCE_PRECISION_HINT`: the type of all that is not int8.
        static: whether the graph whose activations have fixed scales is the one to run.
        invariant: whether a row's logits are the same bytes alone and among other rows of the same padded length.
        trial_tokens: where that does not hold: padded tokens up to which it may hold and is worth trying; or 0.
        streams: how many runs pay side by side, if there are threads for them.
    """

    name: Literal["fp32", "bf16", "int8-dynamic", "int8-static"]
    reason: str
    hint: Literal["f32", "bf16"]
    static: bool = False
    invariant: bool = True
    trial_tokens: int = 0
    streams: int = 1


def choose(precision: Precision, names: str, *, static: bool) -> Arithmetic:
    """Return the arithmetic for a bundle's precision.

    The hint is named outright: OpenVINO would choose bf16 wherever the machine has it, and the same bundle would score
    differently from machine to machine without its digest saying so.

    Args:
        precision: of the bundle.
        names: the processor, as `instruction_set` gives it.
        static: whether the bundle has a graph with fixed scales, too.
    """
    tiles = multiplies_bf16_tiles(names)
    if precision == "int8" and static and tiles and multiplies_int8_tiles(names):
        return Arithmetic(
            "int8-static", "AMX multiplies int8, and the scales are fixed", "bf16", static=True, streams=_STREAMS
        )
    if precision == "int8" and multiplies_int8(names):
        return Arithmetic(
            "int8-dynamic",
            "int8 arithmetic without AMX, or without scales for it",
            "f32",
        )
    if precision == "bf16":
        invariant = has_wide_vectors(names) and not tiles
        trial = 0 if invariant else _TRIAL_TOKENS
        return Arithmetic("bf16", "the bundle is bf16", "bf16", invariant=invariant, trial_tokens=trial)
    invariant = precision == "fp32" and has_wide_vectors(names)
    reason = "the bundle is fp32" if precision == "fp32" else "no int8 arithmetic: the weights are widened"
    return Arithmetic("fp32", reason, "f32", invariant=invariant, trial_tokens=0 if invariant else _TRIAL_TOKENS)


def streams(arithmetic: Arithmetic, threads: int) -> int:
    """Return how many runs go on side by side with so many threads: only streams of equally many threads each."""
    return arithmetic.streams if threads % arithmetic.streams == 0 else 1
