"""Loads the model: opens and verifies its bundle, compiles it, warms it up."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from secrets import randbits
from typing import Final, Protocol

from mlapi.batching.buckets import bucket_lengths
from mlapi.bundles.manifest import Manifest, model_digest
from mlapi.bundles.store import open_bundle, read_manifest
from mlapi.engines.base import AddingEngine, EngineIdentity
from mlapi.engines.executor import EngineExecutor, WarmUp
from mlapi.engines.registry import import_engine, import_tokenizer
from mlapi.errors import BundleError, ConfigurationError
from mlapi.machine import heap
from mlapi.machine.cpus import usable_processors
from mlapi.machine.memory_limit import memory_limit
from mlapi.postprocessing import POSTPROCESSING_VERSION
from mlapi.tokenizing.base import ReadingTokenizer
from mlapi.tokenizing.contributions import Contributions, contributions
from mlapi.tokenizing.ngrams import NgramTokenizer


@dataclass(frozen=True, slots=True)
class Model:
    """A model that is loaded and warm.

    Attributes:
        manifest: what its bundle says.
        identity: what computes its scores.
        digest: the model digest, part of every key of the cache.
        tokenizer: its tokenizer.
        executor: runs it; to be closed.
        streams: how many runs make progress side by side.
        batch_tokens: padded tokens in a run beyond which a token gets no cheaper.
        split_tokens: padded tokens up to which a run is not worth dividing among idle streams.
        warm_up: what the warm-up found out.
        adding: its engine, if that can say what its logits are sums of.
    """

    manifest: Manifest
    identity: EngineIdentity
    digest: str
    tokenizer: ReadingTokenizer
    executor: EngineExecutor
    streams: int
    batch_tokens: int
    split_tokens: int
    warm_up: WarmUp
    adding: AddingEngine | None = None

    @property
    def contributions(self) -> Callable[[str], Contributions | None] | None:
        """What says of what its answer to a text is the sum; None where it is none.

        With more than two labels, logits are such sums and log-odds are not.
        """
        if self.adding is None or not isinstance(self.tokenizer, NgramTokenizer) or len(self.manifest.labels) != _TWO:
            return None
        return partial(contributions, id_of=self.tokenizer.id_of, weigh=self.adding.contributions)


_TWO: Final = 2

BASE_BYTES: Final = 89_000_000
"""What a process needs before it has a model, at most: measured by `python -m benchmarks.memory_need`, and 20 %."""

_MIB: Final = 1024 * 1024


class Wanted(Protocol):
    """A model that is to be served: where, and the folder of its bundle."""

    @property
    def root(self) -> str:
        """What its paths begin with."""

    @property
    def bundle(self) -> Path:
        """The bundle's folder."""


def load_all(
    wanted: Sequence[Wanted],
    *,
    engine: str,
    threads: int,
    clock: Callable[[], float],
    imported: Callable[[], None] | None = None,
    l1_bytes: int = 0,
    limit_bytes: int | None = None,
) -> list[Model]:
    """Load several models, one after the other.

    Args:
        wanted: which.
        engine: as for `load`, for each of them.
        threads: as for `load`.
        clock: as for `load`.
        imported: as for `load`.
        l1_bytes: what the cache in the process may take.
        limit_bytes: the memory that the process may use; None: as much as this one may.

    Raises:
        ConfigurationError: they need more memory than there is, or one of them cannot be loaded; the message says
            which. Those before it are released, whatever it is that fails.
    """
    _check_memory(wanted, engine, l1_bytes, memory_limit() if limit_bytes is None else limit_bytes)
    models: list[Model] = []
    with ExitStack() as loaded:
        for item in wanted:
            try:
                model = load(item.bundle, engine=engine, threads=threads, clock=clock, imported=imported)
            except ConfigurationError as error:
                if len(wanted) == 1:
                    raise
                msg = f"the model of {item.root}: {error.detail}"
                raise type(error)(msg) from error
            loaded.callback(model.executor.close)
            models.append(model)
        loaded.pop_all()
    return models


def _check_memory(wanted: Sequence[Wanted], engine: str, l1_bytes: int, limit_bytes: int) -> None:
    """Compare what the bundles say that they need with what the process may use.

    A process that starts all the same would be killed later, by a request that is no larger than others.

    Raises:
        ConfigurationError: it is not enough. Bundles that say nothing, or that another engine is to run, count as
            nothing; if all do, nothing is compared.
    """
    needs = {}
    for item in wanted:
        with suppress(BundleError):  # whoever loads it says so
            manifest = read_manifest(item.bundle)
            if manifest.memory_bytes is not None and engine in {"", manifest.engine}:
                needs[item.root or "/"] = manifest.memory_bytes
    total = BASE_BYTES + l1_bytes + sum(needs.values())
    if needs and total > limit_bytes:
        models = "".join(f", {need / _MIB:.0f} MiB for the model of {root}" for root, need in needs.items())
        msg = (
            f"this needs {total / _MIB:.0f} MiB of memory, and the process may use {limit_bytes / _MIB:.0f} MiB: "
            f"{BASE_BYTES / _MIB:.0f} MiB for the service itself, {l1_bytes / _MIB:.0f} MiB for MLAPI_L1_BYTES{models}"
        )
        raise ConfigurationError(msg)


def load_tokenizer(bundle: Path) -> tuple[Manifest, ReadingTokenizer]:
    """Read what a bundle says of its model, and its tokenizer, without the model itself.

    Raises:
        BundleError: no bundle there, or one that was changed.
    """
    opened = open_bundle(bundle)
    kind = import_tokenizer(opened.manifest.files)
    return opened.manifest, kind.load(opened.file(kind.file), opened.manifest.max_tokens)


def load(
    bundle: Path,
    *,
    engine: str,
    threads: int,
    clock: Callable[[], float],
    imported: Callable[[], None] | None = None,
) -> Model:
    """Load a model; blocks, most of the time outside the interpreter.

    Args:
        bundle: the bundle's folder.
        engine: which engine to use; empty: the one that the bundle was made for.
        threads: threads for inference; 0: the processors that this process may use.
        clock: tells seconds.
        imported: told when the libraries of the engine and the tokenizer are there.

    Raises:
        ConfigurationError: there is no such engine, or its library is not installed.
        BundleError: no bundle there, one that was changed, or one that this machine cannot run.
    """
    heap.return_large_blocks()
    with ThreadPoolExecutor(1, thread_name_prefix="loading") as beside:
        # Digests are computed outside the interpreter.
        opening = beside.submit(open_bundle, bundle)
        declared = read_manifest(bundle)
        load_engine = import_engine(engine or declared.engine)
        tokenizer = import_tokenizer(declared.files)
        if imported:
            imported()
        opened = opening.result()
        manifest = opened.manifest
        reading = beside.submit(tokenizer.load, opened.file(tokenizer.file), manifest.max_tokens)
        loaded = load_engine(opened, threads or usable_processors())
    executor = EngineExecutor(
        loaded,
        pad_id=manifest.pad_id,
        clock=clock,
        seed=randbits(32),
        tidy=partial(heap.release, opened.folder),
    )
    runtime = asdict(loaded.identity) | {
        "normalisation": tokenizer.normalisation,
        "postprocessing": POSTPROCESSING_VERSION,
    }
    warm_up = executor.warm_up(bucket_lengths(manifest.max_tokens or loaded.batch_tokens))
    return Model(
        manifest=manifest,
        identity=loaded.identity,
        digest=model_digest(manifest, runtime),
        tokenizer=reading.result(),
        executor=executor,
        streams=loaded.streams,
        batch_tokens=loaded.batch_tokens,
        split_tokens=loaded.split_tokens,
        warm_up=warm_up,
        adding=loaded if isinstance(loaded, AddingEngine) else None,
    )
