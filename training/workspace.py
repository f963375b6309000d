"""Says where the stages of a model's training leave what they made, and reads and writes it."""

import hashlib
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from training.lab import Texts, read

HEADER = "text\tlabel\n"


@dataclass(frozen=True, slots=True)
class Workspace:
    """One model's folder; each stage has a folder of its own in it.

    Attributes:
        root: the folder of all models.
        model: the name in `params.yaml`.
    """

    root: Path
    model: str

    @property
    def folder(self) -> Path:
        """The folder of everything that belongs to the model."""
        return self.root / self.model

    @property
    def metrics(self) -> Path:
        """The figures of the last evaluation."""
        return self.folder / "metrics.json"

    @property
    def experiment(self) -> Path:
        """What the run was: parameters, data, versions and digests."""
        return self.folder / "experiment_info.json"

    def stage(self, name: str, *, fresh: bool = False) -> Path:
        """Return a stage's folder; a fresh one is empty, whatever an earlier run left."""
        folder = self.folder / name
        if fresh:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
        return folder

    def evaluation_sets(self, stage: str) -> dict[str, Texts]:
        """Read the evaluation sets of a stage by name, in the order in which they were given."""
        names: list[str] = read_json(self.stage(stage) / "evaluation.json")
        return {name: read(self.stage(stage) / f"evaluation-{slug(name)}.tsv") for name in names}

    def write_evaluation_sets(self, stage: str, sets: dict[str, Texts]) -> None:
        """Write evaluation sets and the list of their names."""
        for name, texts in sets.items():
            write_texts(self.stage(stage) / f"evaluation-{slug(name)}.tsv", texts)
        write_json(self.stage(stage) / "evaluation.json", list(sets))


def slug(name: str) -> str:
    """Return a name as part of a file's name."""
    return "".join(letter if letter.isalnum() else "-" for letter in name.lower())


def write_texts(path: Path, data: Texts) -> None:
    """Write lines `text<TAB>label index` below a header, as `training.lab.read` reads them."""
    rows = (f"{text}\t{label}\n" for text, label in zip(data.texts, data.labels.tolist(), strict=True))
    path.write_text("".join([HEADER, *rows]), encoding="utf-8")


def pick(data: Texts, places: Sequence[int]) -> Texts:
    """Return some of the texts."""
    return Texts([data.texts[place] for place in places], data.labels[list(places)])


def read_json(path: Path) -> Any:  # noqa: ANN401  whatever was written
    """Read what `write_json` wrote."""
    return msgspec.json.decode(path.read_bytes())


def write_json(path: Path, value: object) -> None:
    """Write indented JSON with sorted keys, so that the same values are the same bytes."""
    path.write_bytes(msgspec.json.format(msgspec.json.encode(value, order="deterministic"), indent=2) + b"\n")


def sha256(path: Path) -> str:
    """Return the SHA-256 (hex) of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
