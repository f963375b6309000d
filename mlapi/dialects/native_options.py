"""The query parameters of the service's own prediction routes: reading them, and their documentation."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple, Never, TypeAlias, TypeVar
from urllib.parse import parse_qsl

from mlapi.dialects.base import Combine
from mlapi.errors import InvalidRequestError

T = TypeVar("T")

Long: TypeAlias = Literal["truncate", "windows", "refuse"]

_FLAGS: Final = {"true": True, "1": True, "false": False, "0": False}
_SCORES: Final = {"probabilities": False, "logits": True}
_LONG: Final[Mapping[str, Long]] = {"truncate": "truncate", "windows": "windows", "refuse": "refuse"}
_COMBINE: Final[Mapping[str, Combine]] = {"mean": "mean", "max": "max"}
_MAX_DIGITS: Final = 9
_MAX_SHOWN: Final = 50


@dataclass(frozen=True, slots=True)
class Options:
    """What a query string asks for.

    Attributes:
        detail: whether the answer says of each text where it came from.
        truncate: whether texts are cut that are longer than the model reads.
        top_k: how many labels a text gets at most; None: all.
        threshold: the lowest score that is listed; None: all are.
        logits: whether scores are what the model says before its activation.
        long: what becomes of texts that are longer than the model reads; None: as `truncate` says.
        combine: how the answer to a long text is made of those to its windows.
    """

    detail: bool = False
    truncate: bool = True
    top_k: int | None = None
    threshold: float | None = None
    logits: bool = False
    long: Long | None = None
    combine: Combine = "mean"

    @property
    def plain(self) -> bool:
        """Whether all labels are listed with their probabilities."""
        return self.top_k is None and self.threshold is None and not self.logits


DEFAULTS: Final = Options()


def read_options(query: bytes) -> Options:
    """Read a query string.

    Raises:
        InvalidRequestError: an option that does not exist, has no such value or is given twice.
    """
    values: dict[str, Any] = {}
    for name, value in parse_qsl(query.decode("latin-1"), keep_blank_values=True):
        option = _OPTIONS.get(name)
        if option is None:
            known = ", ".join(_OPTIONS)
            msg = f"there is no query parameter {name[:_MAX_SHOWN]!r} here, only {known}"
            raise InvalidRequestError(msg)
        if option.field in values:
            msg = f"the query parameter {name} is given twice"
            raise InvalidRequestError(msg)
        values[option.field] = option.read(name, value)
    options = Options(**values)
    if options.threshold is not None and not options.logits and not 0 <= options.threshold <= 1:
        _refuse("threshold", "between 0 and 1, unless scores=logits")
    if "long" in values and "truncate" in values:
        msg = "the query parameters long and truncate say the same: send one of them"
        raise InvalidRequestError(msg)
    if "combine" in values and options.long != "windows":
        msg = "the query parameter combine belongs to long=windows"
        raise InvalidRequestError(msg)
    return options


def _flag(name: str, value: str) -> bool:
    return _choice(name, value.lower(), _FLAGS, "true or false")


def _kind(name: str, value: str) -> bool:
    return _choice(name, value, _SCORES, "probabilities or logits")


def _long(name: str, value: str) -> Long:
    return _choice(name, value, _LONG, "truncate, windows or refuse")


def _combine(name: str, value: str) -> Combine:
    return _choice(name, value, _COMBINE, "mean or max")


def _choice(name: str, value: str, values: Mapping[str, T], words: str) -> T:
    if value not in values:
        _refuse(name, words)
    return values[value]


def _count(name: str, value: str) -> int:
    if not (value.isascii() and value.isdigit() and len(value) <= _MAX_DIGITS and int(value)):
        _refuse(name, "a whole number of at least 1")
    return int(value)


def _number(name: str, value: str) -> float:
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        _refuse(name, "a number")
    return number


def _refuse(name: str, wanted: str) -> Never:
    msg = f"the query parameter {name} must be {wanted}"
    raise InvalidRequestError(msg)


class _Option(NamedTuple):
    """One query parameter: the field of `Options` that it sets, how it is read, and what OpenAPI says of it."""

    field: str
    read: Callable[[str, str], Any]
    description: str
    schema: Mapping[str, Any]


_OPTIONS: Final = {
    "detail": _Option(
        "detail",
        _flag,
        "Say of each text where its answer came from, how many tokens it has, and its id.",
        {"type": "boolean", "default": False},
    ),
    "truncate": _Option(
        "truncate",
        _flag,
        "`false` refuses texts that are longer than the model reads, instead of cutting them.",
        {"type": "boolean", "default": True},
    ),
    "top_k": _Option(
        "top_k",
        _count,
        "How many labels a text gets at most, the best ones; by default all.",
        {"type": "integer", "minimum": 1, "maximum": 999_999_999},
    ),
    "threshold": _Option(
        "threshold",
        _number,
        "The lowest score that is listed: of a text whose scores are all lower, the list is empty. Between 0 and 1, "
        "any number with `scores=logits`.",
        {"type": "number"},
    ),
    "scores": _Option(
        "logits",
        _kind,
        "What a score is: a probability, or what the model says before its activation.",
        {"type": "string", "enum": [*_SCORES], "default": "probabilities"},
    ),
    "long": _Option(
        "long",
        _long,
        "What becomes of a text that is longer than the model reads: cut (`truncate`), answered by its `windows`, or "
        "refused (`refuse`). In place of `truncate`, which says the first or the last.",
        {"type": "string", "enum": [*_LONG], "default": "truncate"},
    ),
    "combine": _Option(
        "combine",
        _combine,
        "With `long=windows`: of each label the `mean` of the windows' logits, by their tokens, or the highest.",
        {"type": "string", "enum": [*_COMBINE], "default": "mean"},
    ),
}

PARAMETERS: Final[tuple[dict[str, Any], ...]] = tuple(
    {"name": name, "in": "query", "description": option.description, "schema": dict(option.schema)}
    for name, option in _OPTIONS.items()
)
"""How they stand in OpenAPI."""
