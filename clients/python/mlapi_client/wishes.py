"""What a call may wish of its answers, beside the texts."""

from typing import Literal, TypedDict


class Wishes(TypedDict, total=False):
    """Keyword arguments of all calls that classify; each may be left out.

    Attributes:
        detail: also say where the answer came from, how many tokens the text has, and its id for feedback.
        truncate: `False` refuses a text that is longer than the model reads; else it is cut.
        store: `False` keeps the answer out of the service's cache.
        top_k: how many labels there are in `scores` at most; left out: all.
        threshold: the lowest score in `scores`; of a text whose scores are all lower, `label` is empty.
        scores: `logits` are what the model says before its activation.
        long: `windows` answers a text that is longer than the model reads by its windows; in place of `truncate`.
        combine: how the answer to a long text is made of those to its windows; `mean` if left out.
    """

    detail: bool
    truncate: bool
    store: bool
    top_k: int
    threshold: float
    scores: Literal["probabilities", "logits"]
    long: Literal["truncate", "windows", "refuse"]
    combine: Literal["mean", "max"]
