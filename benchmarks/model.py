"""Makes the model that all peers serve: the shipped one in full size, reference answers, and mlapi's bundles of it.

66 million parameters, the size of DistilBERT-base, that say of every text what the shipped model says (`widening`). So
nothing needs to be downloaded, and activations are spread like those of a trained model: scales can be fixed for them.
"""

import json
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from benchmarks.widening import read_weights, widen
from mlapi.bench.traffic import Traffic, read_words
from mlapi.bundles.manifest import SCHEMA, FileEntry, Manifest, Provenance
from mlapi.bundles.store import Bundle, write_bundle
from mlapi.settings import DEFAULT_BUNDLE

if TYPE_CHECKING:
    from transformers import DistilBertForSequenceClassification

Precision: TypeAlias = Literal["fp32", "bf16", "int8"]

Form: TypeAlias = Literal["fp32", "bf16", "int8", "int8-dynamic"]
"""What a bundle of mlapi's holds. `int8` has fixed scales, too, as the shipped one has; `int8-dynamic` has none."""

TOKENIZER: Final = DEFAULT_BUNDLE / "tokenizer.json"
LABELS: Final = ("NEGATIVE", "POSITIVE")
LAYERS: Final = 6
WIDTH: Final = 768
INNER: Final = 3072
LONGEST: Final = 512

TITLE: Final = "DistilBERT, 66 million parameters, the shipped model widened"
_NAME: Final = "distilbert-66m-widened"
_SEED: Final = 66
_CALIBRATION: Final = 300
_PROBES: Final = (4, 8, 16, 16, 24, 32, 48, 64, 128, 250, 500)
_REPEATS: Final = 3
_STAMP: Final = "complete"
_MADE: Final = f"{_NAME} 1"
"""What is in the stamp; a folder of another model is made anew."""


@dataclass(frozen=True, slots=True)
class Model:
    """The model on disk.

    Attributes:
        folder: where everything is.
        checkpoint: folder for peers that read Hugging Face checkpoints.
        reference: texts and the probabilities of `LABELS` that PyTorch gives them in fp32, each text alone.
    """

    folder: Path
    checkpoint: Path
    reference: Mapping[str, Sequence[float]]

    def bundle(self, form: Form) -> Path:
        """Return one of mlapi's bundles, making it if it is not there yet (a minute; needs PyTorch).

        Raises:
            ModelError: it cannot be made on this machine.
        """
        bundle = self.folder / f"bundle-{form}"
        if not (bundle / "bundle.json").exists():
            _build(self.checkpoint, bundle, form)
        return bundle.resolve()


class ModelError(Exception):
    """A bundle of the model cannot be made here; the message says why."""


def prepare(folder: Path) -> Model:
    """Return the model, making the checkpoint if it is not there yet (a minute; needs PyTorch)."""
    checkpoint = prepare_checkpoint(folder)
    return Model(folder, checkpoint, json.loads((folder / "reference.json").read_bytes()))


def prepare_checkpoint(folder: Path) -> Path:
    """Return the checkpoint's folder, making all that is in `folder` anew if it is not there yet."""
    checkpoint = folder / "checkpoint"
    stamp = checkpoint / _STAMP
    if not stamp.exists() or stamp.read_text(encoding="utf-8") != _MADE:
        # With bundles and other peers' forms of another model, if there was one.
        shutil.rmtree(folder, ignore_errors=True)
        checkpoint.mkdir(parents=True)
        _make(checkpoint)
        stamp.write_text(_MADE, encoding="utf-8")
    return checkpoint


def torch_bundle(checkpoint: Path, folder: Path, precision: Precision) -> Bundle:
    """Return a bundle of the checkpoint for mlapi's torch engine, without the pipeline, which needs OpenVINO."""

    def describe(entries: Mapping[str, FileEntry]) -> Manifest:
        return Manifest(
            schema=SCHEMA,
            name=_NAME,
            labels=LABELS,
            activation="softmax",
            max_tokens=LONGEST,
            pad_id=0,
            engine="torch",
            precision=precision,
            files=dict(entries),
            provenance=Provenance(
                source="the shipped model, widened", revision=_MADE, licence="Apache-2.0", built_with={}
            ),
        )

    names = ("config.json", "model.safetensors", "tokenizer.json")
    return write_bundle(folder, {name: checkpoint / name for name in names}, describe)


def bf16_distance(model: Model) -> float:
    """Return how far PyTorch's own probabilities in bf16 are at most from those in fp32, on the reference's texts.

    The measure for every bf16 engine: what this number format costs on these weights.
    """
    import torch  # noqa: PLC0415  needed for this alone, and it takes seconds
    from tokenizers import Tokenizer  # noqa: PLC0415
    from transformers import DistilBertForSequenceClassification  # noqa: PLC0415

    short = DistilBertForSequenceClassification.from_pretrained(model.checkpoint, dtype=torch.bfloat16).eval()
    tokenizer = Tokenizer.from_file(str(TOKENIZER))
    tokenizer.no_padding()
    furthest = 0.0
    with torch.inference_mode():
        for text, expected in model.reference.items():
            logits = short(input_ids=torch.tensor([tokenizer.encode(text).ids])).logits
            apart = logits.float().softmax(-1)[0] - torch.tensor(expected)
            furthest = max(furthest, float(apart.abs().max()))
    return furthest


def arithmetic(tokens: int, *, needed: bool) -> float:
    """Return the multiplications and additions that a text of so many tokens takes, in matrix products alone.

    Args:
        tokens: special ones included, padding not.
        needed: whether to leave out the rows of the last layer that nothing reads.
    """
    # Key and value projections, attention over all tokens, then what is done to each row that is wanted.
    projections, row = 2 * 2 * WIDTH * WIDTH, 2 * (2 * WIDTH * WIDTH + 2 * WIDTH * INNER)
    attention = 2 * 2 * WIDTH * tokens
    full = tokens * (projections + row + attention)
    last = tokens * projections + row + attention if needed else full
    return (LAYERS - 1) * full + last


def work(texts_per_s: float, lengths: Sequence[int]) -> dict[str, float]:
    """Return tokens a second, padding not counted, and the arithmetic that they take, GFLOP/s."""
    giga = 1e9 * len(lengths)
    return {
        "tokens_per_s": texts_per_s * sum(lengths) / len(lengths),
        "needed_gflops": texts_per_s * sum(arithmetic(tokens, needed=True) for tokens in lengths) / giga,
        "nominal_gflops": texts_per_s * sum(arithmetic(tokens, needed=False) for tokens in lengths) / giga,
    }


def _build(checkpoint: Path, bundle: Path, form: Form) -> None:
    command = [sys.executable, "-m", "mlapi", "bundle", "build", "--source", str(checkpoint), "--output", str(bundle)]
    command += ["--name", _NAME, "--precision", form.partition("-")[0], "--licence", "Apache-2.0", "--no-evaluation"]
    if form == "int8":
        command += ["--calibrate", str(_write_calibration(checkpoint.parent / "calibration.txt"))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603  our own command line
    if done.returncode:
        raise ModelError(done.stderr.strip().splitlines()[-1] if done.stderr.strip() else "no message")


def _write_calibration(path: Path) -> Path:
    """Write texts of all lengths of the kind that the benchmark sends, though none that it sends."""
    texts = islice(Traffic(read_words(TOKENIZER), f"calibration {_SEED}").mixed(), _CALIBRATION)
    path.write_text("".join(f"{text}\n" for text in texts), encoding="utf-8")
    return path


def widened() -> "DistilBertForSequenceClassification":
    """Return the model itself, in fp32 (needs PyTorch)."""
    # Needed once, by those who have no model yet; and it takes seconds.
    import torch  # noqa: PLC0415
    from transformers import DistilBertConfig, DistilBertForSequenceClassification  # noqa: PLC0415

    weights = widen(read_weights(DEFAULT_BUNDLE))
    words = "distilbert.embeddings.word_embeddings.weight"
    config = DistilBertConfig(
        vocab_size=len(weights[words]),
        dim=WIDTH,
        n_layers=LAYERS,
        n_heads=12,
        hidden_dim=INNER,
        max_position_embeddings=LONGEST,
        id2label=dict(enumerate(LABELS)),
        label2id={label: index for index, label in enumerate(LABELS)},
    )
    model = DistilBertForSequenceClassification(config).eval()
    # Fails unless there is a value of the right shape for each.
    model.load_state_dict({name: torch.from_numpy(values) for name, values in weights.items()})
    return model


def _make(folder: Path) -> None:
    """Write checkpoint and reference answers."""
    import torch  # noqa: PLC0415  as above
    from tokenizers import Tokenizer  # noqa: PLC0415

    model = widened()
    traffic = Traffic(read_words(TOKENIZER), f"reference {_SEED}")
    texts = [traffic.text(tokens) for tokens in _PROBES * _REPEATS]
    tokenizer = Tokenizer.from_file(str(TOKENIZER))
    tokenizer.no_padding()
    with torch.inference_mode():
        logits = torch.cat([model(input_ids=torch.tensor([tokenizer.encode(text).ids])).logits for text in texts])
        scores = logits.softmax(-1).tolist()
    model.save_pretrained(folder)
    _write_tokenizer(folder, json.loads(TOKENIZER.read_bytes())["model"]["vocab"])
    reference = json.dumps(dict(zip(texts, scores, strict=True)), indent=1)
    (folder.parent / "reference.json").write_text(reference, encoding="utf-8")


def _write_tokenizer(folder: Path, vocabulary: Mapping[str, int]) -> None:
    """Write the tokenizer so that transformers of several years can read it."""
    shutil.copy(TOKENIZER, folder / "tokenizer.json")
    words = sorted(vocabulary, key=lambda word: vocabulary[word])
    (folder / "vocab.txt").write_text("\n".join(words) + "\n", encoding="utf-8")
    settings = {
        "tokenizer_class": "DistilBertTokenizer",
        "model_max_length": LONGEST,
        "do_lower_case": True,
        "pad_token": "[PAD]",
        "unk_token": "[UNK]",
        "cls_token": "[CLS]",
        "sep_token": "[SEP]",
        "mask_token": "[MASK]",
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=1), encoding="utf-8")
