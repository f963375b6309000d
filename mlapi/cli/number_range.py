"""Reads numbers with bounds from the command line."""

import math
from typing import Any

import click


class NumberRange(click.FloatRange):
    """A range that no NaN lies in: for click's own, which asks whether a number is outside, it lies in every one."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:  # noqa: ANN401
        """Read a number within the bounds."""
        number: float = super().convert(value, param, ctx)
        if math.isnan(number):
            self.fail(f"{value!r} is not a number.", param, ctx)
        return number
