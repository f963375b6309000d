"""The rows of the tables: which workload, who runs where, and for whom it says anything."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import Final

from benchmarks import workloads
from benchmarks.catalogue import Cache, Peer
from benchmarks.dialects import TEI, TENSORS
from benchmarks.workloads import Drive, Measures

_ANY: Final = (Cache.REQUESTS, Cache.TEXTS)


class Stage(StrEnum):
    """Who runs where."""

    SHARED = "server and load on both processors"
    SPLIT = "server on one processor, load and Redis on the other"
    KEYED = "server on one processor, load on the other, with API keys"
    METERED = "the same, with a quota that is counted through Redis"
    SECOND_TIER = "the same, without the in-process tier"


@dataclass(frozen=True, slots=True)
class Row:
    """One workload.

    Attributes:
        name: short, unique.
        title: what is sent.
        stage: who runs where.
        run: does it.
        caches: what a peer has to remember for the row to say anything about it.
        full_only: whether the short profile leaves it out.
        once_if_slow: whether the peers that are known to be slow do it in the first round only.
        ours_only: whether it asks by protocols that mlapi alone serves beside its own.
    """

    name: str
    title: str
    stage: Stage
    run: Callable[[Drive], Awaitable[Measures]]
    caches: tuple[Cache, ...] = tuple(Cache)
    full_only: bool = False
    once_if_slow: bool = False
    ours_only: bool = False

    def skips_later(self, peer: Peer) -> bool:
        """Whether a peer does this in the first round only."""
        return self.once_if_slow and peer.slow


HELLO_ROWS: Final = (
    Row("hello", "bare uvicorn, GET, 64 connections", Stage.SPLIT, workloads.hello),
    Row(
        "hello-post", "bare uvicorn, POST of what the hits are sent, 64 connections", Stage.SPLIT, workloads.hello_post
    ),
)
"""What the rates of hits are compared with."""

ROWS: Final[Mapping[str, Row]] = {
    row.name: row
    for row in (
        Row("hit", "hit, 2 texts, 64 connections, 500 bodies", Stage.SPLIT, workloads.hits, caches=_ANY),
        Row(
            *("hit-fresh", "hit, 2 texts, 64 connections, 131 072 bodies", Stage.SPLIT),
            partial(workloads.hits, bodies=Drive.fresh_pairs),
            caches=(Cache.TEXTS,),
        ),
        Row(
            *("hit-proxied", "hit, 2 texts, 64 connections, 500 bodies, through a proxy that adds an id", Stage.SPLIT),
            partial(workloads.hits, bodies=Drive.proxied_pairs),
            caches=(Cache.TEXTS,),
        ),
        *(
            Row(
                *(f"hit-{name}", f"hit, 2 texts, 64 connections, 500 bodies, {title}", Stage.SPLIT),
                partial(workloads.hits, bodies=partial(Drive.other_pairs, path=path, dialect=dialect)),
                caches=(Cache.TEXTS,),
                ours_only=True,
            )
            for name, title, path, dialect in (
                ("tei", "as text-embeddings-inference's clients ask", "/project/tei/predict", TEI),
                ("oip", "as the Open Inference Protocol's", "/project/v2/models/project/infer", TENSORS),
            )
        ),
        Row(
            *("hit-keys", "hit, 2 texts, 64 connections, 500 bodies, with API keys", Stage.KEYED, workloads.hits),
            caches=(Cache.TEXTS,),
        ),
        Row(
            *("hit-quota", "hit, 2 texts, 64 connections, 500 bodies, with a quota", Stage.METERED, workloads.hits),
            caches=(Cache.TEXTS,),
        ),
        Row(
            *("bulk-known", "1 000 known texts in a request, in 128 orders", Stage.SPLIT),
            partial(workloads.bulk_known, bodies=Drive.fresh_bulks),
            caches=(Cache.TEXTS,),
        ),
        Row(
            *("bulk-repeated", "1 000 known texts in a request, the same body each time", Stage.SPLIT),
            partial(workloads.bulk_known, bodies=Drive.same_bulks),
            caches=_ANY,
            full_only=True,
        ),
        Row(
            *("open-hit", "hit, 2 texts, 500 requests/s", Stage.SPLIT),
            partial(workloads.open_hits, rate=500.0),
            caches=_ANY,
            full_only=True,
        ),
        Row(
            "hit-l2",
            "hit in Redis, 2 texts, 64 connections, 500 bodies",
            Stage.SECOND_TIER,
            workloads.hits,
            caches=_ANY,
        ),
        Row(
            *("hit-l2-fresh", "hit in Redis, 2 texts, 64 connections, 131 072 bodies", Stage.SECOND_TIER),
            partial(workloads.hits, bodies=Drive.fresh_pairs),
            caches=(Cache.TEXTS,),
        ),
        Row("miss-16", "miss, one text of 16 tokens", Stage.SHARED, partial(workloads.lone_miss, tokens=16)),
        Row("miss-128", "miss, one text of 128 tokens", Stage.SHARED, partial(workloads.lone_miss, tokens=128)),
        Row("mixed", "misses of mixed length, 16 connections", Stage.SHARED, workloads.mixed),
        Row(
            *("mixed-32", "misses of mixed length, 4 connections, 32 a request", Stage.SHARED, workloads.mixed_batches),
            once_if_slow=True,
        ),
        Row(
            "uniform-128",
            "misses of 128 tokens, 4 x 32",
            Stage.SHARED,
            partial(workloads.uniform, tokens=128),
            full_only=True,
        ),
        Row(
            "open-miss",
            "misses of mixed length, 10/s",
            Stage.SHARED,
            partial(workloads.open_misses, rate=10.0),
            full_only=True,
        ),
        *(
            Row(
                f"zipf-{percent}",
                f"popularity by Zipf, {percent} % known",
                Stage.SHARED,
                partial(workloads.popular, hit_ratio=percent / 100),
                caches=(Cache.TEXTS,),
                full_only=True,
            )
            for percent in (0, 50, 90, 95, 99)
        ),
        Row(
            *(
                "hit-under-misses",
                "hits, 100 requests/s, under saturating misses",
                Stage.SHARED,
                workloads.hits_under_misses,
            ),
            caches=(Cache.TEXTS,),
            full_only=True,
            once_if_slow=True,
        ),
        Row(
            *(
                "miss-under-bulk",
                "misses, 10/s, under a bulk of 10 000",
                Stage.SHARED,
                workloads.interactive_under_bulk,
            ),
            full_only=True,
            once_if_slow=True,
        ),
    )
}


def applies(row: Row, peer: Peer) -> bool:
    """Whether a row says anything about a peer."""
    if row.stage is Stage.SECOND_TIER:
        return peer.second_tier is not None
    if row.stage in {Stage.KEYED, Stage.METERED}:
        return peer.keyed is not None
    if row.ours_only and peer.home:
        return False
    # Who has no cache computes known texts again: that is the row `mixed`.
    return peer.cache in row.caches
