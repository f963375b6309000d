"""Asks a model for the answers to texts, as the headers of a request wish."""

from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Final, NamedTuple, TypeAlias

from mlapi.api.headers import cache_directives
from mlapi.predictions import Answer, Found, Query, Source, SourceCounts
from mlapi.predictor import Policy, Predictor

_L1: Final = Source.L1

Wait: TypeAlias = Callable[[Coroutine[None, None, Answer]], Awaitable[Answer]]
"""Waits for an answer, perhaps no longer than somebody is there to take it."""


class Wishes(NamedTuple):
    """What a request's `Cache-Control` says.

    Attributes:
        read: whether the cache may answer.
        store: whether it may keep what the model says.
        compute: whether the model may be asked.
        counted: whether the texts are somebody's, and count where drift is measured.
    """

    read: bool
    store: bool
    compute: bool
    counted: bool = True


class Asked(NamedTuple):
    """An answer, and whether a tier keeps all that the model said for it."""

    answer: Answer
    stored: bool


def read_wishes(cache_control: bytes, *, allow_no_cache: bool) -> Wishes:
    """Read a `Cache-Control`; whether it may bypass the cache is a setting."""
    directives = cache_directives(cache_control)
    return Wishes(
        read=not (allow_no_cache and b"no-cache" in directives),
        store=b"no-store" not in directives,
        compute=b"only-if-cached" not in directives,
    )


async def ask(
    predictor: Predictor,
    texts: Sequence[str],
    wishes: Wishes,
    deadline: float,
    *,
    found: Found | None = None,
    wait: Wait | None = None,
) -> Asked:
    """Answer texts.

    Args:
        predictor: the model's.
        texts: the texts.
        wishes: how they are to be answered.
        deadline: when the answer must be complete, in seconds of the predictor's clock.
        found: what the cache holds of them; None if it was not asked.
        wait: waits for what the cache in the process does not hold; None: nothing ends the wait but the deadline.

    Raises:
        MlapiError: as `Predictor.query` and `Predictor.complete`.
    """
    query = predictor.query(texts)
    if not wishes.read:
        found = Found([None] * len(query.digests))
    elif found is None and (known := predictor.known(query.digests)):
        return Asked(Answer(known, (_L1,) * len(known), query.digests, SourceCounts(l1=len(known))), stored=False)
    policy = Policy(deadline, store=wishes.store, compute=wishes.compute, counted=wishes.counted)
    completing = _look_up_and_complete(predictor, query, found, policy)
    answer = await (wait(completing) if wait else completing)
    return Asked(answer, wishes.store and answer.stored)


async def _look_up_and_complete(predictor: Predictor, query: Query, found: Found | None, policy: Policy) -> Answer:
    """Answer a query of which L1 does not hold everything; `found` where both tiers were asked already."""
    if found is None:
        found = await predictor.find(query.digests, keep=policy.store)
    return await predictor.complete(query, found, policy)
