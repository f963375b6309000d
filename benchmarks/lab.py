"""Measures the small model in one process: loading it, and the parts of a miss, without HTTP and without load.

Run `python -m benchmarks.lab SENTENCES`, a file of lines `text<TAB>label` below a header. Each part is run many times
for each text and the shortest time counts, because other work on the machine only ever adds to it; printed is the mean
over the texts, in microseconds.
"""

import sys
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

import uvloop

from mlapi.app import create_app
from mlapi.batching.buckets import padded_length
from mlapi.model import Model, load
from mlapi.predictor import Policy, Predictor
from mlapi.settings import LAB_BUNDLE, read_settings

T = TypeVar("T")

REPEATS: Final = 25
TEXTS: Final = 200
LOADS: Final = 9
PATIENCE_S: Final = 10.0


def shortest(call: Callable[[], object]) -> float:
    """Return the seconds of the shortest of many calls."""
    best = float("inf")
    for _ in range(REPEATS):
        started = time.perf_counter()
        call()
        best = min(best, time.perf_counter() - started)
    return best


def mean_us(call: Callable[[T], object], items: Sequence[T]) -> float:
    """Return the mean over items of the shortest call with each, in microseconds."""
    return 1e6 * sum(shortest(partial(call, item)) for item in items) / len(items)


def load_ms() -> float:
    """Return the shortest of several loads from the disk cache, in milliseconds, the imports not counted."""

    def once() -> float:
        started = time.perf_counter()
        load(LAB_BUNDLE, engine="", threads=1, clock=time.monotonic).executor.close()
        return time.perf_counter() - started

    return 1e3 * min(once() for _ in range(LOADS))


def parts(model: Model, texts: Sequence[str]) -> Iterable[tuple[str, float]]:
    """Yield the parts of a miss by name, in microseconds."""
    encoded = model.tokenizer.encode(texts)
    lengths = [padded_length(len(text.ids), None) for text in encoded]
    yield "canonical form", mean_us(lambda text: model.tokenizer.canonical_forms([text]), texts)
    yield "term ids", mean_us(lambda text: model.tokenizer.encode([text]), texts)
    yield (
        "scores",
        mean_us(lambda pair: model.executor.score([pair[0]], pair[1]), list(zip(encoded, lengths, strict=True))),
    )


async def through_predictor(texts: Sequence[str]) -> float:
    """Return a whole miss through cache look-up, single flight, batcher and engine, in microseconds."""
    app = create_app(read_settings({"MLAPI_BUNDLE": str(LAB_BUNDLE), "MLAPI_CACHE": "none"}), {})
    async with app.router.lifespan_context(app):
        return await misses(app.mounts[0].served.loaded.predictor, texts)


async def misses(predictor: Predictor, texts: Sequence[str]) -> float:
    """Return the mean over texts of the shortest miss, in microseconds; nothing may be kept between two."""

    async def miss(text: str) -> float:
        started = time.perf_counter()
        query = predictor.query([text])
        found = await predictor.find(query.digests, keep=True)
        await predictor.complete(query, found, Policy(time.monotonic() + PATIENCE_S))
        return time.perf_counter() - started

    return 1e6 * sum([min([await miss(text) for _ in range(REPEATS)]) for text in texts]) / len(texts)


def main(path: Path) -> None:
    """Measure and print."""
    lines = path.read_text(encoding="utf-8").splitlines()[1 : TEXTS + 1]
    texts = [line.rpartition("\t")[0] for line in lines]
    say = sys.stdout.write
    say(f"{'load':<40}{load_ms():8.1f} ms\n")
    model = load(LAB_BUNDLE, engine="", threads=1, clock=time.monotonic)
    total = 0.0
    for name, micros in parts(model, texts):
        total += micros
        say(f"{name:<40}{micros:8.1f} us\n")
    model.executor.close()
    say(f"{'these three':<40}{total:8.1f} us\n")
    loop = uvloop.new_event_loop()
    whole = loop.run_until_complete(through_predictor(texts))
    loop.close()
    say(f"{'a miss, all but HTTP':<40}{whole:8.1f} us\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
