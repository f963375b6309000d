"""A bundle answers as the pipeline of `transformers` answers from the checkpoint's own files, or it is refused."""

# ruff: noqa: E402  the libraries are imported only where they are installed

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

import pytest

from tests.checkpoint_tokenizers import SENTENCES, VOCABULARY, write_word_pieces
from tests.engine_checkpoints import TinyCheckpoint, need_pipeline

need_pipeline()

import torch
from tokenizers import Tokenizer, normalizers
from transformers import AutoConfig, AutoModelForSequenceClassification, pipeline

from mlapi.batching.buckets import padded_length
from mlapi.bundles.store import Bundle
from mlapi.bundling.build import Order, build
from mlapi.bundling.original import Original, compare_reading, probing_texts
from mlapi.bundling.parity import Runner
from mlapi.engines.base import Engine, Logits, TokenIds
from mlapi.engines.fake import FakeEngine
from mlapi.engines.registry import load_engine
from mlapi.errors import BundleError
from mlapi.tokenizing.tokenizer import FILE, HfTokenizer

pytestmark = pytest.mark.torch

Architecture = Literal["distilbert", "bert", "roberta"]

LIMIT = 24
MIDDLE = "the film was not very good , but fine ! " * 8
TEXTS = (
    *SENTENCES,
    "GOOD Film, Café cafe\u0301",
    "  the [SEP] film\u200b [MASK] is\tgood ",
    f"good fine good fine {MIDDLE} dull bad dull bad",
    f"dull bad dull bad {MIDDLE} good fine good fine",
    f"good fine good fine {MIDDLE} good fine good fine",
)


def change(folder: Path, name: str, **fields: Any) -> None:  # noqa: ANN401  JSON
    path = folder / name
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | fields), encoding="utf-8")


def tokenizer_json(folder: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    path = folder / "tokenizer.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    edit(content)
    path.write_text(json.dumps(content), encoding="utf-8")


def make_bundle(folder: Path, engine: Literal["openvino", "torch"] = "torch") -> Bundle:
    order = Order(str(folder), folder.parent / "bundle", engine=engine, precision="fp32")
    return build(order, print)


def answers(bundle: Bundle) -> list[list[tuple[str, float]]]:
    """What the service answers: labels and scores by falling score."""
    manifest = bundle.manifest
    padded = partial(padded_length, max_tokens=manifest.max_tokens)
    runner = Runner(load_engine(manifest.engine, bundle, 1), manifest.pad_id, manifest.activation, padded)
    encoded = HfTokenizer.load(bundle.file(FILE), manifest.max_tokens).encode(TEXTS)
    scored = [zip(manifest.labels, runner.scores(text), strict=True) for text in encoded]
    return [sorted(each, key=lambda pair: -pair[1]) for each in scored]


def own_answers(folder: Path, **limit: int) -> list[list[tuple[str, float]]]:
    """What the pipeline answers that knows nothing but the folder."""
    classify = pipeline("text-classification", str(folder), dtype=torch.float32, device="cpu")
    found = classify(list(TEXTS), top_k=None, truncation=True, **limit)
    return [[(each["label"], each["score"]) for each in text] for text in found]


@dataclass(frozen=True, slots=True)
class Case:
    """A checkpoint with a setting.

    Attributes:
        architecture: see `TinyCheckpoint`.
        config: fields of `config.json`.
        tokenizer: fields of `tokenizer_config.json`.
        edit: changes `tokenizer.json`.
        labels: label names.
    """

    architecture: Architecture = "bert"
    config: dict[str, Any] = field(default_factory=dict)
    tokenizer: dict[str, Any] = field(default_factory=dict)
    edit: Callable[[dict[str, Any]], object] | None = None
    labels: tuple[str, ...] = ("NEGATIVE", "POSITIVE")

    def write(self, folder: Path) -> Path:
        folder.mkdir()
        layers = "n_layers" if self.architecture == "distilbert" else "num_hidden_layers"
        TinyCheckpoint(self.architecture, labels=self.labels, max_tokens=LIMIT, settings={layers: 1}).write(folder)
        change(folder, "config.json", **self.config)
        change(folder, "tokenizer_config.json", **self.tokenizer)
        if self.edit:
            tokenizer_json(folder, self.edit)
        return folder


def normaliser(**fields: object) -> Callable[[dict[str, Any]], object]:
    return lambda content: content["normalizer"].update(fields)


def without_special_tokens(content: dict[str, Any]) -> None:
    content["post_processor"] = None


def with_own_truncation(content: dict[str, Any]) -> None:
    content["truncation"] = {"direction": "Left", "max_length": 12, "strategy": "LongestFirst", "stride": 2}


def with_own_padding(content: dict[str, Any]) -> None:
    content["padding"] = {
        "strategy": {"Fixed": 20},
        "direction": "Left",
        "pad_to_multiple_of": None,
        "pad_id": 0,
        "pad_type_id": 0,
        "pad_token": "[PAD]",
    }


SERVED = {
    "cut on the left": Case(tokenizer={"truncation_side": "left"}),
    "cut on the left by tokenizer.json": Case(edit=with_own_truncation),
    "padded on the left": Case(tokenizer={"padding_side": "left"}),
    "padded on the left, positions by padding": Case("roberta", tokenizer={"padding_side": "left"}),
    "padded by tokenizer.json": Case(edit=with_own_padding),
    "no special tokens": Case(edit=without_special_tokens),
    "no special tokens in tokenizer.json alone": Case(
        tokenizer={"tokenizer_class": "BertTokenizer"}, edit=without_special_tokens
    ),
    "special tokens of tokenizer_config.json": Case(
        tokenizer={"bos_token": "[MASK]", "add_bos_token": True, "eos_token": "[SEP]", "add_eos_token": True},
    ),
    "an added token that takes the space before it": Case(
        tokenizer={"added_tokens_decoder": {"9": {"content": "good", "lstrip": True, "rstrip": True, "special": True}}}
    ),
    "cased in tokenizer.json": Case(edit=normaliser(lowercase=False)),
    "cased in tokenizer_config.json": Case(tokenizer={"tokenizer_class": "BertTokenizer", "do_lower_case": False}),
    "cased in tokenizer.json, not in tokenizer_config.json": Case(
        tokenizer={"tokenizer_class": "BertTokenizer", "do_lower_case": True}, edit=normaliser(lowercase=False)
    ),
    "accents kept": Case(edit=normaliser(strip_accents=False)),
    "accents kept by tokenizer_config.json": Case(
        tokenizer={"tokenizer_class": "BertTokenizer", "strip_accents": False}
    ),
    "control characters kept": Case(edit=normaliser(clean_text=False)),
    "an added token": Case(tokenizer={"extra_special_tokens": ["fine"]}, config={"vocab_size": 93}),
    "the tokenizer's limit": Case(tokenizer={"model_max_length": 16}),
    "a limit of the model alone": Case(tokenizer={"model_max_length": int(1e30)}),
    "clean-up": Case(tokenizer={"clean_up_tokenization_spaces": True, "add_prefix_space": True}),
    "several labels": Case(config={"problem_type": "multi_label_classification"}),
    "a problem that nobody knows": Case(config={"problem_type": "ranking"}),
    "one label": Case(labels=("TOXIC",)),
    "labels out of order": Case(config={"id2label": {"1": "a", "0": "b"}, "label2id": {"a": 0, "b": 1}}),
    "parameters of the task": Case(
        config={"task_specific_params": {"text-classification": {"function_to_apply": "none"}}}
    ),
    "a function of its own": Case(config={"function_to_apply": "sigmoid"}),
    "16 bits": Case(config={"dtype": "bfloat16"}),
    "another architecture's name": Case(config={"architectures": ["BertModel"]}),
    "another padding token": Case(config={"pad_token_id": 4}),
    "dropout": Case(config={"classifier_dropout": 0.5}),
    "no attention mask": Case(tokenizer={"model_input_names": ["input_ids"]}),
    "distilbert": Case("distilbert", tokenizer={"truncation_side": "left"}),
}


@pytest.mark.parametrize("name", SERVED)
def test_a_bundle_answers_as_the_pipeline_of_transformers(tmp_path: Path, name: str) -> None:
    folder = SERVED[name].write(tmp_path / "checkpoint")
    # The pipeline alone would let texts run beyond the model's positions.
    expected = own_answers(folder, **({"max_length": LIMIT} if name == "a limit of the model alone" else {}))
    found = answers(make_bundle(folder))
    for text, ours, theirs in zip(TEXTS, found, expected, strict=True):
        assert [label for label, _ in ours] == [label for label, _ in theirs], text
        assert [score for _, score in ours] == pytest.approx([score for _, score in theirs], abs=1e-5), text
    assert len({json.dumps(answer) for answer in expected}) > len(TEXTS) // 2, "the texts score alike"


def test_an_openvino_bundle_is_cut_where_the_checkpoint_is_cut(tmp_path: Path) -> None:
    folder = Case("distilbert", tokenizer={"truncation_side": "left"}).write(tmp_path / "checkpoint")
    bundle = make_bundle(folder, "openvino")
    found = answers(bundle)
    assert found[-3] != found[-1], "texts with two endings have one answer"
    encoded = HfTokenizer.load(bundle.file(FILE), LIMIT).encode(TEXTS)
    assert [text.truncated for text in encoded[-3:]] == [True] * 3
    assert not encoded[0].truncated
    for ours, theirs in zip(found, own_answers(folder), strict=True):
        assert dict(ours) == pytest.approx(dict(theirs), abs=1e-5)


SIZES = {"hidden_size": 32, "num_attention_heads": 4, "num_hidden_layers": 2, "intermediate_size": 64}
RELATIVE = {"relative_attention": True, "pos_att_type": ["p2c", "c2p"], "position_biased_input": False}
ENDS = {"bos_token_id": 2, "eos_token_id": 3, "cls_token_id": 2, "sep_token_id": 3}
ARCHITECTURES: dict[str, dict[str, Any]] = {
    "albert": {**SIZES, "embedding_size": 16},
    "bart": {"d_model": 32, "encoder_layers": 1, "decoder_layers": 1, "decoder_start_token_id": 3, **ENDS},
    "deberta-v2": {**SIZES, **RELATIVE, "position_buckets": 8},
    "electra": {**SIZES, "embedding_size": 16},
    "gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 4},
    "modernbert": {**SIZES, **ENDS, "global_attn_every_n_layers": 1},
    "mpnet": SIZES,
    "xlm-roberta": SIZES,
}


def write_architecture(folder: Path, architecture: str, settings: dict[str, Any]) -> Path:
    folder.mkdir()
    common = {"vocab_size": len(VOCABULARY), "pad_token_id": 0, "initializer_range": 0.3, "init_std": 0.3}
    config = AutoConfig.for_model(architecture, max_position_embeddings=2 * LIMIT, **common, **settings)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        AutoModelForSequenceClassification.from_config(config).save_pretrained(folder)
    write_word_pieces(folder, LIMIT)
    return folder


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_same_holds_for_many_architectures(tmp_path: Path, architecture: str) -> None:
    folder = write_architecture(tmp_path / "checkpoint", architecture, ARCHITECTURES[architecture])
    for ours, theirs in zip(answers(make_bundle(folder)), own_answers(folder), strict=True):
        assert dict(ours) == pytest.approx(dict(theirs), abs=1e-5)


@pytest.mark.parametrize(
    ("architecture", "settings", "said"),
    [
        ("fnet", {name: SIZES[name] for name in SIZES if "heads" not in name}, "tokens padded to 16, differ by"),
        ("convbert", {**SIZES, "embedding_size": 32}, "tokens padded to 16, differ by"),
        (
            "nystromformer",
            {**SIZES, "num_landmarks": 4, "segment_means_seq_len": 64},
            "fails on a text of 13 tokens: Runtime",
        ),
    ],
)
def test_a_model_that_padding_changes_is_refused(
    tmp_path: Path, architecture: str, settings: dict[str, Any], said: str
) -> None:
    """For the engine torch, too, whose graph nobody converts and compares."""
    folder = write_architecture(tmp_path / "checkpoint", architecture, settings)
    with pytest.raises(BundleError, match=said):
        make_bundle(folder)


REFUSED = {
    "regression": (Case(config={"problem_type": "regression"}), "regression"),
    "quantised": (Case(config={"quantization_config": {"quant_method": "bitsandbytes"}}), "quantised already"),
    "code for the model": (
        Case(config={"auto_map": {"AutoModelForSequenceClassification": "modeling.Mine"}}),
        "code of its own",
    ),
    "code for the tokenizer": (
        Case(tokenizer={"auto_map": {"AutoTokenizer": ["tokenization.Mine", None]}}),
        "code of its own|contains custom code|cannot be read",
    ),
    "a gap in the labels": (Case(config={"id2label": {"0": "a", "2": "b"}}), r"outputs \[0, 2\], not \[0, 1\]"),
    "a label twice": (Case(labels=("a", "a")), "same label"),
    "a label without a name": (Case(labels=("a", "")), "printable text"),
    "a label of two lines": (Case(labels=("a", "b\nc")), "printable text"),
    "special tokens as text": (Case(tokenizer={"split_special_tokens": True}), "split_special_tokens"),
    "tokens that the model does not know": (Case(tokenizer={"extra_special_tokens": ["<new>"]}), "of which the model"),
    "a tokenizer of another model": (Case(config={"vocab_size": 1000}), "is a file missing"),
    "padding out of the vocabulary": (Case(config={"pad_token_id": -1}), "padding token -1|cannot be read"),
    "no room for a text": (Case(tokenizer={"model_max_length": 2}), "2 of them special"),
    "a limit that is no number": (Case(tokenizer={"model_max_length": "24"}), "cannot be read"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_setting_that_a_bundle_cannot_carry_is_refused(tmp_path: Path, name: str) -> None:
    case, said = REFUSED[name]
    with pytest.raises(BundleError, match=said):
        make_bundle(case.write(tmp_path / "checkpoint"))


def test_texts_over_the_limit_are_among_what_is_compared(tmp_path: Path) -> None:
    """Each wrong reading is one that a build could make; none is visible on short plain texts alone."""
    folder = Case().write(tmp_path / "checkpoint")
    bundle = make_bundle(folder)
    manifest = bundle.manifest
    original = Original(folder, labels=manifest.labels, max_tokens=LIMIT)
    texts = probing_texts(original, LIMIT)
    engine = load_engine("torch", bundle, 1)
    rust = Tokenizer.from_file(str(bundle.file(FILE)))

    class Unpadded(FakeEngine):
        """Fails on the length that padding makes of the first text."""

        def infer(self, ids: TokenIds, mask: TokenIds) -> Logits:
            del mask
            raise KeyError(ids.shape[1])

    def compare(activation: Literal["softmax", "sigmoid"] = "softmax", engine: Engine = engine) -> None:
        runner = Runner(engine, manifest.pad_id, activation, partial(padded_length, max_tokens=LIMIT))
        compare_reading(original, HfTokenizer(rust, LIMIT), runner, texts)

    compare()
    with pytest.raises(BundleError, match="differ by"):
        compare(activation="sigmoid")
    with pytest.raises(BundleError, match=r"the model fails on .*, 13 tokens padded to 16: KeyError: 16"):
        compare(engine=Unpadded(labels=2))
    rust.enable_truncation(LIMIT, direction="left")
    with pytest.raises(BundleError, match=r"do not read .* alike: 24 tokens against 24"):
        compare()
    rust.no_truncation()
    rust.normalizer = normalizers.BertNormalizer(strip_accents=False)
    with pytest.raises(BundleError, match=r"do not read .* alike"):
        compare()
