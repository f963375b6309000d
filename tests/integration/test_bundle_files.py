"""Checkpoints come in several sets of files: each that `transformers` reads is built or refused with the reason."""

# ruff: noqa: E402  the libraries are imported only where they are installed

import io
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.checkpoint_tokenizers import LETTERS, SENTENCES, VOCABULARY, WORDS
from tests.engine_checkpoints import TinyCheckpoint, need_pipeline

need_pipeline()

import torch
from safetensors.torch import load_file, save_file
from sentencepiece import SentencePieceProcessor, SentencePieceTrainer
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import pipeline

from mlapi.batching.buckets import padded_length
from mlapi.bundles.store import Bundle
from mlapi.bundling.build import Order, build
from mlapi.bundling.parity import Runner
from mlapi.bundling.pull import INDEX, WEIGHTS, pull
from mlapi.engines.registry import load_engine
from mlapi.errors import BundleError
from mlapi.tokenizing.tokenizer import FILE, HfTokenizer

pytestmark = pytest.mark.torch

LIMIT = 24
POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"
TEXTS = (*SENTENCES, "Café  GOOD, 12 films!", "the film is good " * 20)


def write_json(path: Path, **fields: Any) -> None:  # noqa: ANN401  JSON
    content = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    path.write_text(json.dumps(content | fields), encoding="utf-8")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A checkpoint with no tokenizer but for its configuration."""
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    settings = {"vocab_size": len(VOCABULARY), "pad_token_id": 0, "max_position_embeddings": LIMIT + 1}
    TinyCheckpoint("roberta", max_tokens=LIMIT, settings=settings).write(folder)
    (folder / "tokenizer.json").unlink()
    (folder / "tokenizer_config.json").unlink()
    return folder


def make_bundle(folder: Path) -> Bundle:
    return build(Order(str(folder), folder.parent / "bundle", engine="torch", precision="fp32"), print)


def check_answers(bundle: Bundle, folder: Path) -> None:
    """Compare the bundle's answers with those of the pipeline that knows nothing but the folder."""
    manifest = bundle.manifest
    padded = partial(padded_length, max_tokens=manifest.max_tokens)
    runner = Runner(load_engine("torch", bundle, 1), manifest.pad_id, manifest.activation, padded)
    encoded = HfTokenizer.load(bundle.file(FILE), manifest.max_tokens).encode(TEXTS)
    classify = pipeline("text-classification", str(folder), dtype=torch.float32, device="cpu")
    own = classify(list(TEXTS), top_k=None, truncation=True, max_length=manifest.max_tokens)
    for text, theirs in zip(encoded, own, strict=True):
        ours = dict(zip(manifest.labels, runner.scores(text), strict=True))
        assert ours == pytest.approx({each["label"]: each["score"] for each in theirs}, abs=1e-5)
    assert len({text.ids for text in encoded}) == len(TEXTS)
    assert encoded[-1].truncated


def write_pieces(path: Path, kind: str = "unigram", symbols: tuple[str, ...] = ()) -> Path:
    """Train a model of SentencePiece whose vocabulary is about the tiny checkpoints'."""
    content = io.BytesIO()
    SentencePieceTrainer.train(
        sentence_iterator=iter([*SENTENCES, *(f"{word} {letter}" for word in WORDS for letter in LETTERS)]),
        model_writer=content,
        model_type=kind,
        vocab_size=80,
        hard_vocab_limit=False,
        control_symbols=list(symbols),
        num_threads=1,
        minloglevel=2,
    )
    path.write_bytes(content.getvalue())
    return path


@pytest.mark.parametrize(
    ("name", "tokenizer", "symbols"),
    [
        ("sentencepiece.bpe.model", "XLMRobertaTokenizer", ()),
        ("sentencepiece.bpe.model", "CamembertTokenizer", ()),
        ("spm.model", "DebertaV2Tokenizer", ("[PAD]", "[CLS]", "[SEP]", "[MASK]")),
        ("spiece.model", "BigBirdTokenizer", ("<pad>", "[CLS]", "[SEP]", "[MASK]")),
        ("spiece.model", "AlbertTokenizer", ("<pad>", "[CLS]", "[SEP]", "[MASK]")),
    ],
)
def test_a_model_of_sentencepiece_alone_is_enough(
    folder: Path, name: str, tokenizer: str, symbols: tuple[str, ...]
) -> None:
    path = write_pieces(folder / name, symbols=symbols)
    write_json(folder / "tokenizer_config.json", tokenizer_class=tokenizer)
    bundle = make_bundle(folder)
    check_answers(bundle, folder)
    (encoded,) = HfTokenizer.load(bundle.file(FILE), LIMIT).encode(["the film is good"])
    own = SentencePieceProcessor(model_file=str(path))
    pieces = own.encode("the film is good", out_type=str)
    spelled = Tokenizer.from_file(str(bundle.file(FILE)))
    assert [spelled.id_to_token(index) for index in encoded.ids][1:-1] == pieces


def test_the_architecture_says_which_tokenizer_it_is_if_nothing_else_does(folder: Path) -> None:
    write_json(folder / "config.json", model_type="xlm-roberta", architectures=["XLMRobertaForSequenceClassification"])
    write_pieces(folder / "sentencepiece.bpe.model")
    check_answers(make_bundle(folder), folder)


def test_a_conversion_that_cuts_otherwise_than_sentencepiece_is_refused(folder: Path) -> None:
    """As `transformers` converts FNet's, whose first word loses the mark of a space before it."""
    write_pieces(folder / "spiece.model", symbols=("<pad>", "[CLS]", "[SEP]", "[MASK]"))
    write_json(folder / "tokenizer_config.json", tokenizer_class="FNetTokenizer")
    with pytest.raises(BundleError, match=r"conversion of spiece\.model does not cut texts as SentencePiece does"):
        make_bundle(folder)


def test_vocabulary_and_merges_alone_are_enough(folder: Path) -> None:
    letters = pre_tokenizers.ByteLevel.alphabet()
    tokens = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", *sorted(letters), "th", "the", "Ġf", "Ġfi"]
    merges = [("t", "h"), ("th", "e"), ("Ġ", "f"), ("Ġf", "i")]
    Tokenizer(models.BPE({token: index for index, token in enumerate(tokens)}, merges)).model.save(str(folder))
    TinyCheckpoint("roberta", max_tokens=LIMIT, settings={"vocab_size": len(tokens), "pad_token_id": 1}).write(folder)
    (folder / "tokenizer.json").unlink()
    (folder / "tokenizer_config.json").unlink()
    check_answers(make_bundle(folder), folder)
    (folder / "merges.txt").unlink()
    with pytest.raises(BundleError, match=r"neither tokenizer\.json nor .* vocab\.json with merges\.txt"):
        pull(str(folder), say=print)


def test_a_vocabulary_of_word_pieces_alone_is_enough(folder: Path) -> None:
    TinyCheckpoint("bert", max_tokens=LIMIT).write(folder)
    (folder / "tokenizer.json").unlink()
    (folder / "tokenizer_config.json").unlink()
    (folder / "vocab.txt").write_text("\n".join(VOCABULARY), encoding="utf-8")
    write_json(folder / "added_tokens.json", **{VOCABULARY[-1]: len(VOCABULARY) - 1})
    write_json(folder / "special_tokens_map.json", mask_token="[MASK]")  # noqa: S106  not a password
    write_json(folder / "generation_config.json", max_length=3)
    (folder / "chat_template.jinja").write_text("{{ messages }}", encoding="utf-8")
    check_answers(make_bundle(folder), folder)


def split(folder: Path) -> list[Path]:
    """Spread the weights over two files."""
    weights = load_file(folder / WEIGHTS)
    names = sorted(weights)
    files = {name: f"model-0000{1 + index % 2}-of-00002.safetensors" for index, name in enumerate(names)}
    for file in set(files.values()):
        save_file({name: weights[name] for name in names if files[name] == file}, folder / file, {"format": "pt"})
    write_json(folder / INDEX, metadata={"total_size": 1}, weight_map=files)
    (folder / WEIGHTS).unlink()
    return sorted(folder / file for file in set(files.values()))


def test_weights_in_several_files_make_the_bundle_that_they_make_in_one(tmp_path: Path) -> None:
    whole, parts = tmp_path / "one" / "tiny", tmp_path / "several" / "tiny"
    for folder in (whole, parts):
        folder.mkdir(parents=True)
        TinyCheckpoint("bert", max_tokens=LIMIT).write(folder)
    files = split(parts)
    bundle = make_bundle(parts)
    check_answers(bundle, parts)
    assert load_file(bundle.file(WEIGHTS)).keys() == load_file(whole / WEIGHTS).keys()
    assert bundle.manifest.provenance.revision == pull(str(parts), say=print).revision
    assert pull(str(parts), sha256=bundle.manifest.provenance.revision, say=print).weights == tuple(files)
    files[0].write_bytes(files[0].read_bytes()[:-1] + b"?")
    with pytest.raises(BundleError, match="the list of the 2 files of weights"):
        pull(str(parts), sha256=bundle.manifest.provenance.revision, say=print)


def with_other_pieces(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()
    (folder / "tokenizer.model").write_bytes(b"IQ== 0\nIg== 1\n")


def without(*names: str) -> Callable[[Path], object]:
    def remove(folder: Path) -> None:
        for name in names:
            (folder / name).unlink()

    return remove


def rename_weights(name: str) -> Callable[[Path], object]:
    return lambda folder: (folder / WEIGHTS).rename(folder / name)


def add(name: str, content: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_text(content, encoding="utf-8")


def lose_a_part(folder: Path) -> None:
    split(folder)[1].unlink()


def keep_the_index_alone(folder: Path) -> None:
    (folder / WEIGHTS).unlink()
    (folder / INDEX).write_text("{", encoding="utf-8")


DAMAGED = {
    "pickled": (rename_weights("pytorch_model.bin"), "pytorch_model.bin is refused.*load it with AutoModelForSequence"),
    "another name": (rename_weights("model.fp16.safetensors"), "model.fp16.safetensors is not what the build reads"),
    "another library": (rename_weights("tf_model.h5"), "tf_model.h5 is not what the build reads"),
    "no weights": (without(WEIGHTS), f"has no {WEIGHTS}$"),
    "a part missing": (lose_a_part, "lacks files of weights that .* names: model-00002-of-00002.safetensors"),
    "an index alone": (keep_the_index_alone, "index.json of .* cannot be read"),
    "no vocabulary": (without("tokenizer.json"), "has no tokenizer: neither tokenizer.json nor vocab.txt"),
    "another library's pieces": (with_other_pieces, "tokenizer.model is no model of SentencePiece; if it is one of"),
    "a pointer to the weights": (add(WEIGHTS, POINTER), "model.safetensors is a pointer of Git LFS"),
    "a pointer to the tokenizer": (add("tokenizer.json", POINTER), "tokenizer.json is a pointer of Git LFS"),
    "an adapter": (add("adapter_config.json", "{}"), "is an adapter for another model"),
    "no configuration": (without("config.json"), "has no config.json"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_what_cannot_be_built_is_named_with_its_reason(tmp_path: Path, name: str) -> None:
    damage, said = DAMAGED[name]
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    TinyCheckpoint("bert", max_tokens=LIMIT).write(folder)
    damage(folder)
    with pytest.raises(BundleError, match=said):
        make_bundle(folder)
