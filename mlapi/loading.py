"""Loads the model: opens and verifies its bundle, compiles it, warms it up."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from mlapi.batching.buckets import bucket_lengths
from mlapi.bundles.manifest import Manifest, model_digest
from mlapi.bundles.store import open_bundle, read_manifest
from mlapi.engines import memory, tokenizer
from mlapi.engines.activation import POSTPROCESSING_VERSION
from mlapi.engines.base import EngineIdentity
from mlapi.engines.executor import EngineExecutor, WarmUp
from mlapi.engines.processors import usable_processors
from mlapi.engines.registry import import_engine
from mlapi.engines.tokenizer import HfTokenizer


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
    """

    manifest: Manifest
    identity: EngineIdentity
    digest: str
    tokenizer: HfTokenizer
    executor: EngineExecutor
    streams: int
    batch_tokens: int
    split_tokens: int
    warm_up: WarmUp


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
        imported: told when the engine's library is there.

    Raises:
        ConfigurationError: there is no such engine, or its library is not installed.
        BundleError: no bundle there, one that was changed, or one that this machine cannot run.
    """
    memory.return_large_blocks()
    with ThreadPoolExecutor(1, thread_name_prefix="loading") as beside:
        # Digests are computed outside the interpreter.
        opening = beside.submit(open_bundle, bundle)
        load_engine = import_engine(engine or read_manifest(bundle).engine)
        if imported:
            imported()
        opened = opening.result()
        manifest = opened.manifest
        reading = beside.submit(HfTokenizer.load, opened.file(tokenizer.FILE), manifest.max_tokens)
        loaded = load_engine(opened, threads or usable_processors())
    executor = EngineExecutor(
        loaded,
        pad_id=manifest.pad_id,
        activation=manifest.activation,
        clock=clock,
        tidy=partial(memory.release, opened.folder),
    )
    runtime = asdict(loaded.identity) | {
        "normalisation": tokenizer.NORMALISATION_VERSION,
        "postprocessing": POSTPROCESSING_VERSION,
    }
    warm_up = executor.warm_up(bucket_lengths(manifest.max_tokens))
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
    )
