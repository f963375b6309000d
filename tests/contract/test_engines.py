"""What every engine has to keep, whatever library computes, so that the rest of the service can rely on it."""

import asyncio
import itertools
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlapi.batching.buckets import bucket_lengths, padded_length
from mlapi.bundles.manifest import model_digest
from mlapi.bundles.store import Bundle, open_bundle
from mlapi.engines.base import Engine, Logits, TokenIds
from mlapi.engines.executor import EngineExecutor, WarmUp
from mlapi.engines.fixed_shapes import Call, FixedShapes
from mlapi.engines.openvino import OpenVinoEngine
from mlapi.engines.registry import ENGINES, load_engine
from mlapi.errors import BundleError
from mlapi.machine.instruction_set import instruction_set
from mlapi.predictions import EncodedText
from mlapi.settings import DEFAULT_BUNDLE, LAB_BUNDLE
from tests.checkpoint_tokenizers import VOCABULARY
from tests.engine_checkpoints import TinyCheckpoint, need_pipeline

ROUNDING: Final = 1e-4
"""How far fp32 logits may be apart that differ only in the order of their sums."""

LONG: Final = 4096
"""Tokens of a long text for a model that reads texts of every length."""

Architecture = Literal["distilbert", "bert"]


@dataclass(frozen=True, slots=True)
class Case:
    """An engine and the bundle that it runs.

    Attributes:
        load: loads the same with so many threads.
        two_rows: whether no product of the graph ever has one row only, which would take a kernel of its own.
    """

    name: str
    engine: Engine
    bundle: Bundle
    load: Callable[[int], Engine]
    two_rows: bool = False


@dataclass(frozen=True, slots=True)
class Warm:
    """An engine's executor and what its warm-up found out."""

    executor: EngineExecutor
    found: WarmUp


def tiny(folder: Path, architecture: Architecture, engine: Any, precision: Any) -> Bundle:  # noqa: ANN401
    """Make a bundle of a tiny model; needs PyTorch."""
    need_pipeline()
    from mlapi.bundling.build import Order, build  # noqa: PLC0415  only where it is installed

    checkpoint = folder / "checkpoint"
    checkpoint.mkdir()
    TinyCheckpoint(architecture, labels=("a", "b", "c")).write(checkpoint)
    order = Order(str(checkpoint), folder / "bundle", engine=engine, precision=precision, unevaluated=True)
    return build(order, print)


TINY: Final = [
    pytest.param((engine, architecture, precision), id=f"{engine}-{architecture}-{precision}", marks=pytest.mark.torch)
    for engine, architecture, precision in (
        ("openvino", "distilbert", "fp32"),
        ("openvino", "distilbert", "int8"),
        ("openvino", "bert", "fp32"),
        ("openvino", "bert", "int8"),
        ("torch", "distilbert", "fp32"),
        ("torch", "bert", "fp32"),
        ("torch-in-fixed-shapes", "distilbert", "fp32"),
    )
]
SHIPPED: Final = [
    pytest.param((engine, None, None), id=f"{engine}-shipped") for engine in ("fake", "openvino", "linear")
]

PROCESSORS: Final = {
    "int8-dynamic": "avx2,avx512_vnni,avx512f",
    "int8-static": "amx_bf16,amx_int8,avx2,avx512_bf16,avx512_vnni,avx512f",
}
"""The least processor of each arithmetic with int8 weights that a machine with AMX can take on."""

ARITHMETICS: Final = [
    pytest.param((f"openvino-{name}", None, f"x86_64:{names}"), id=f"openvino-shipped-{name}")
    for name, names in PROCESSORS.items()
    if name != "int8-static"  # what such a machine takes by itself
]


def contained(processor: str) -> bool:
    """Whether this machine has all of a processor's extensions."""
    own, other = (set(names.replace(":", ",").split(",")) for names in (instruction_set(), processor))
    return other <= own


def in_fixed_shapes(engine: Engine) -> Engine:
    """The torch engine as it computes on a CUDA device, on the processor and without graphs."""
    from mlapi.engines.torch import TorchEngine  # noqa: PLC0415  only where it is installed

    def prepare(rows: int, length: int) -> Call:
        def call(ids: TokenIds, mask: TokenIds) -> Logits:
            assert ids.shape == mask.shape == (rows, length)
            return engine.infer(ids, mask)

        return call

    shapes = FixedShapes(prepare, budgets=(16, 64), vocabulary=len(VOCABULARY))
    return TorchEngine(shapes, engine.identity, streams=2, batch_tokens=64)


@pytest.fixture(scope="module", params=[*SHIPPED, *ARITHMETICS, *TINY])
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Case]:
    kind, architecture, precision = request.param
    name = kind.partition("-")[0]
    load: Callable[[int], Engine]
    if architecture is None:
        bundle = open_bundle(LAB_BUNDLE if name == "linear" else DEFAULT_BUNDLE)
    else:
        bundle = tiny(tmp_path_factory.mktemp("tiny"), architecture, name, precision)
    if architecture is None and precision is not None:
        if not contained(precision):
            pytest.skip(f"this processor is not {precision}")
        load = partial(OpenVinoEngine.load, bundle, processor=precision)
    else:
        load = partial(load_engine, name, bundle)
    engine = load(1)
    if kind == "torch-in-fixed-shapes":
        engine = in_fixed_shapes(engine)
    yield Case(name, engine, bundle, load, two_rows=name == "openvino" and architecture != "bert")
    engine.close()


@pytest.fixture(scope="module")
def warm(case: Case) -> Warm:
    ticks = itertools.count()
    manifest = case.bundle.manifest
    executor = EngineExecutor(
        case.engine,
        pad_id=manifest.pad_id,
        clock=lambda: float(next(ticks)),
        seed=1,
        tidy=lambda: None,
    )
    return Warm(executor, executor.warm_up(bucket_lengths(min(64, manifest.max_tokens or LONG))))


def rows(case: Case, lengths: list[int], padded: int, seed: int) -> tuple[TokenIds, TokenIds]:
    """Random ids of these lengths, padded."""
    random = np.random.default_rng(seed)
    ids = np.full((len(lengths), padded), case.bundle.manifest.pad_id, dtype=np.int64)
    mask = np.zeros_like(ids)
    for row, length in enumerate(lengths):
        ids[row, :length] = random.integers(1, len(VOCABULARY), length)
        mask[row, :length] = 1
    return ids, mask


def alone(engine: Engine, ids: TokenIds, mask: TokenIds) -> Logits:
    return np.concatenate([engine.infer(ids[row : row + 1], mask[row : row + 1]) for row in range(len(ids))])


def assert_as_claimed(engine: Engine, together: Logits, single: Logits) -> None:
    """Rows computed together are those computed alone: to the bit where the engine says so, else but for rounding."""
    if engine.batch_invariant:
        assert together.tobytes() == single.tobytes()
    else:
        assert np.abs(together - single).max() < ROUNDING


def test_every_engine_that_can_be_chosen_is_tested_here() -> None:
    kinds = [kind for param in [*SHIPPED, *TINY] if isinstance(case := param.values[0], tuple) for kind in case[:1]]
    assert {kind.partition("-")[0] for kind in kinds} == set(ENGINES)


def test_there_is_a_float32_logit_for_each_text_and_label(case: Case) -> None:
    for texts in (1, 3):
        logits = case.engine.infer(*rows(case, [5] * texts, 8, seed=texts))
        assert logits.shape == (texts, len(case.bundle.manifest.labels))
        assert logits.dtype == np.float32
        assert np.isfinite(logits).all()


def test_texts_are_told_apart(case: Case) -> None:
    logits = alone(case.engine, *rows(case, [8] * 6, 8, seed=1))
    assert len({row.tobytes() for row in logits}) == 6


def test_every_padded_length_up_to_the_longest_is_taken(case: Case) -> None:
    longest = case.bundle.manifest.max_tokens or LONG
    for padded in bucket_lengths(longest)[-2:]:
        assert np.isfinite(case.engine.infer(*rows(case, [padded, 1], padded, seed=padded))).all()


def test_the_same_rows_give_the_same_bytes_again(case: Case) -> None:
    ids, mask = rows(case, [3, 8, 6], 8, seed=2)
    assert len({case.engine.infer(ids, mask).tobytes() for _ in range(5)}) == 1


def test_arguments_are_left_alone_and_answers_stay_as_they_are(case: Case) -> None:
    ids, mask = rows(case, [7, 5], 8, seed=3)
    before = ids.tobytes(), mask.tobytes()
    first = case.engine.infer(ids, mask)
    kept = first.tobytes()
    case.engine.infer(*rows(case, [8, 8], 8, seed=4))
    assert (ids.tobytes(), mask.tobytes()) == before
    assert first.tobytes() == kept


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_a_texts_logits_do_not_depend_on_the_batch(case: Case, data: st.DataObject) -> None:
    longest = min(64, case.bundle.manifest.max_tokens or LONG)
    padded = padded_length(data.draw(st.integers(1, longest)), longest)
    shortest = max(1, padded - 7)
    lengths = data.draw(st.lists(st.integers(shortest, padded), min_size=2, max_size=9))
    ids, mask = rows(case, lengths, padded, seed=data.draw(st.integers(0, 2**32 - 1)))
    order = data.draw(st.permutations(range(len(lengths))))
    assert_as_claimed(case.engine, case.engine.infer(ids[order], mask[order]), alone(case.engine, ids, mask)[order])


def test_long_texts_do_not_depend_on_the_batch_either(case: Case) -> None:
    longest = case.bundle.manifest.max_tokens or LONG
    for padded in sorted({padded_length(min(length, longest), longest) for length in (100, 200, 400, 512)}):
        ids, mask = rows(case, [padded, padded - 1, padded - 5], padded, seed=padded)
        assert_as_claimed(case.engine, case.engine.infer(ids, mask), alone(case.engine, ids, mask))


@settings(max_examples=12, deadline=None)
@given(data=st.data())
def test_a_texts_scores_never_depend_on_the_batch_whatever_the_engine_claims(warm: Warm, data: st.DataObject) -> None:
    padded = padded_length(data.draw(st.integers(1, 64)), 64)
    ids = st.lists(st.integers(1, len(VOCABULARY) - 1), min_size=max(1, padded - 7), max_size=padded)
    texts = [EncodedText(tuple(text), truncated=False) for text in data.draw(st.lists(ids, min_size=2, max_size=12))]
    together = asyncio.run(warm.executor.run(texts, padded))
    assert together == [asyncio.run(warm.executor.run([text], padded))[0] for text in texts]


def test_the_warm_up_lets_together_what_is_known_to_keep_its_bits(case: Case, warm: Warm) -> None:
    if case.engine.batch_invariant:
        assert warm.found.together_tokens == sys.maxsize
    elif case.two_rows and case.engine.identity.instruction_set.endswith(":avx2"):
        assert warm.found.together_tokens == case.engine.trial_tokens > 0
    else:
        assert warm.found.together_tokens in {0, case.engine.trial_tokens}


def test_the_number_of_threads_changes_nothing_that_the_identity_does_not_say(case: Case) -> None:
    ids, mask = rows(case, [16, 12, 9, 16], 16, seed=5)
    expected = alone(case.engine, ids, mask)
    for threads in (2, 3):
        other = case.load(threads)
        logits = alone(other, ids, mask)
        if other.identity == case.engine.identity:
            assert logits.tobytes() == expected.tobytes()
        else:
            assert np.abs(logits - expected).max() < ROUNDING
        other.close()


@pytest.mark.parametrize("name", PROCESSORS)
def test_every_padded_length_keeps_its_bits_in_every_arithmetic(name: str) -> None:
    if not contained(f"x86_64:{PROCESSORS[name]}"):
        pytest.skip(f"this processor does not compute in {name}")
    bundle = open_bundle(DEFAULT_BUNDLE)
    one, two = (OpenVinoEngine.load(bundle, threads, f"x86_64:{PROCESSORS[name]}") for threads in (1, 2))
    assert one.identity.arithmetic == two.identity.arithmetic == name
    case = Case("openvino", one, bundle, partial(load_engine, "openvino", bundle))
    for padded in bucket_lengths(bundle.manifest.longest):
        ids, mask = rows(case, [padded - row % 8 for row in range(max(2, 64 // padded))], padded, seed=padded)
        expected = one.infer(ids[1:2], mask[1:2])
        assert_as_claimed(one, two.infer(ids, mask)[1:2], expected)


def test_no_two_arithmetics_share_a_digest_of_the_model() -> None:
    bundle = open_bundle(DEFAULT_BUNDLE)
    names = [name for name in PROCESSORS if contained(f"x86_64:{PROCESSORS[name]}")]
    engines = [OpenVinoEngine.load(bundle, 1, f"x86_64:{PROCESSORS[name]}") for name in names]
    assert len({model_digest(bundle.manifest, asdict(engine.identity)) for engine in engines}) == len(names)
    # Not by the processor's name alone, which is the same wherever the kernels are forbidden something.
    anywhere = [replace(engine.identity, instruction_set="") for engine in engines]
    assert len({model_digest(bundle.manifest, asdict(identity)) for identity in anywhere}) == len(names)


def test_calls_from_several_threads_do_not_disturb_each_other(case: Case) -> None:
    batches = [rows(case, [length, length], padded_length(length, 64), seed=length) for length in range(1, 33)]
    expected = [case.engine.infer(*batch).tobytes() for batch in batches]
    with ThreadPoolExecutor(4) as threads:
        actual = list(threads.map(lambda batch: case.engine.infer(*batch).tobytes(), batches))
    assert actual == expected


def test_padding_changes_no_more_than_rounding(case: Case) -> None:
    short, long = (case.engine.infer(*rows(case, [5, 3], padded, seed=6)) for padded in (8, 24))
    # A last bit may tip an activation over to the next of the 255 steps of int8.
    bound = 0.05 if case.bundle.manifest.precision == "int8" else ROUNDING
    assert np.abs(short - long).max() < bound


def test_the_identity_says_what_computes(case: Case) -> None:
    identity = case.engine.identity
    assert identity.name == case.name
    assert identity.name in ENGINES
    assert identity.version
    assert identity.instruction_set
    assert case.name == "fake" or identity.precision == case.bundle.manifest.precision
    assert case.engine.streams >= 1
    assert case.engine.batch_tokens >= 1


@pytest.mark.torch
@pytest.mark.parametrize("architecture", ["distilbert", "bert"])
def test_openvino_in_fp32_agrees_with_the_reference(tmp_path: Path, architecture: Architecture) -> None:
    made = {}
    for name in ("openvino", "torch"):
        (tmp_path / name).mkdir()
        bundle = tiny(tmp_path / name, architecture, name, "fp32")
        case = Case(name, load_engine(name, bundle, 1), bundle, partial(load_engine, name, bundle))
        made[name] = np.concatenate(
            [alone(case.engine, *rows(case, [n], padded_length(n, 64), seed=n)) for n in range(1, 65)]
        )
    assert np.abs(made["openvino"] - made["torch"]).max() < ROUNDING
    assert made["torch"].std(axis=0).min() > 100 * ROUNDING


@pytest.mark.torch
def test_an_engine_refuses_a_bundle_of_another_kind(tmp_path: Path) -> None:
    for made_for, run_by in (("openvino", "torch"), ("torch", "openvino")):
        (tmp_path / made_for).mkdir()
        bundle = tiny(tmp_path / made_for, "distilbert", made_for, "fp32")
        with pytest.raises(BundleError, match=f"has no file .*; its engine is {made_for}"):
            load_engine(run_by, bundle, 1)
