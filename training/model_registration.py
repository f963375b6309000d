"""The stage `model_registration`: makes a bundle of a model that passes the gate, and notes what it came from."""

import platform
import subprocess
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from mlapi.bundles.manifest import SCHEMA, Evaluation, FileEntry, Manifest, Provenance
from mlapi.bundles.reference import referred
from mlapi.bundles.store import Bundle, read_manifest, write_bundle
from mlapi.learn.gate import shortfalls
from mlapi.observability.drift import Sample
from mlapi.tokenizing.ngrams import FILE as VOCABULARY
from mlapi.tokenizing.ngrams import NgramTokenizer
from training.lab import MEMORY_BYTES, TOLERANCE, export, served
from training.lab import evaluate as compare
from training.model_building import TRAINING, stored_model
from training.model_evaluation import SHIPPED
from training.params import LinearModel, digest
from training.stages import NotGoodEnoughError, Order, Say, TrainingError, run_stage
from training.workspace import read_json, sha256, write_json

_TOOLS: Final = ("numpy", "scikit-learn", "scipy")


def register(order: Order, say: Say) -> None:
    """Write `bundle/NAME` and `experiment_info.json`.

    Raises:
        BundleError: the bundle's own comparison with the trained model refuses it.
        NotGoodEnoughError: the model does not pass the gate.
        TrainingError: the bundle does not answer as the trained model does.
    """
    params, work = order.params, order.work
    folder = work.stage("bundle", fresh=True)
    work.experiment.unlink(missing_ok=True)
    lacking = shortfalls(read_json(work.metrics), params.gate)
    if lacking:
        msg = f"{params.name} is not good enough: {'; '.join(lacking)}"
        raise NotGoodEnoughError(msg)
    if isinstance(params.building, LinearModel):
        bundle = _linear(order, folder / params.name)
    else:
        from training import encoder  # noqa: PLC0415  PyTorch, which only the models that need it have to have

        bundle = encoder.make_bundle(order, folder / params.name, say)
    write_json(work.experiment, experiment(order, bundle.manifest))
    say(f"model_registration: {bundle.folder}, SHA-256 {bundle.manifest.digest}")


def _linear(order: Order, output: Path) -> Bundle:
    params, work = order.params, order.work
    fitted = stored_model(work, len(params.labels))
    sources = read_json(work.stage("data") / "sources.json")["train"]
    chosen = read_json(work.stage("model") / TRAINING)["chosen"]
    with TemporaryDirectory() as scratch:
        files = export(fitted, Path(scratch))
        evaluations = []
        sample = Sample()
        reading = NgramTokenizer.load(Path(scratch) / VOCABULARY, None)
        for name, data in work.evaluation_sets("prepared").items():
            scores = served(Path(scratch), data.texts)
            for text, row in zip(reading.encode(data.texts), scores, strict=True):
                sample.observe(params.labels[row.argmax()], float(row.max()), len(text.ids), text.unknown)
            found = compare(name, scores, fitted.probabilities(data.texts), data.labels)
            if found.agreement < 1.0 or found.score_difference.max > TOLERANCE:
                msg = f"the exported model does not answer as scikit-learn does: {found}"
                raise TrainingError(msg)
            evaluations.append(found)

        def describe(entries: Mapping[str, FileEntry]) -> Manifest:
            manifest = Manifest(
                schema=SCHEMA,
                name=output.name,
                labels=params.labels,
                activation="softmax",
                max_tokens=None,
                pad_id=0,
                engine="linear",
                precision="fp32",
                files=dict(entries),
                provenance=Provenance(
                    source=" + ".join(source["name"] for source in sources),
                    revision=sources[0]["sha256"] if len(sources) == 1 else digest(sources),
                    licence=params.licence,
                    built_with={tool: version(tool) for tool in _TOOLS},
                    parameters=chosen,
                ),
                evaluations=tuple[Evaluation, ...](evaluations),
                cache="l1",
                memory_bytes=MEMORY_BYTES,
            )
            return referred(manifest, sample)

        return write_bundle(output, files, describe)


def experiment(order: Order, manifest: Manifest) -> dict[str, Any]:
    """Return what a run was: everything that its result follows from, and the digests of what it gave."""
    work = order.work
    champion = order.champion or SHIPPED / order.params.name
    return {
        "model": work.model,
        "name": order.params.name,
        "bundle": manifest.digest,
        "parent": read_manifest(champion).digest if (champion / "bundle.json").exists() else None,
        "commit": commit(),
        "parameters": digest(order.params),
        "data": {
            part: [source["sha256"] for source in read_json(work.stage("data") / "sources.json")[part]]
            for part in ("train", "evaluate")
        }
        | ({"feedback": sha256(order.feedback)} if order.feedback else {}),
        "texts": sha256(work.stage("prepared") / "train.tsv"),
        "evaluation": sha256(work.metrics),
        "report": sha256(work.stage("evaluation") / "report.html"),
        "python": platform.python_version(),
        "built_with": manifest.provenance.built_with,
        "chosen": read_json(work.stage("model") / TRAINING)["chosen"],
    }


def commit() -> str | None:
    """Return the commit of the source, with `-dirty` where files differ from it; None outside a clone."""
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--abbrev=40", "--dirty", "--exclude=*"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()  # noqa: S603  ours
    except (OSError, subprocess.CalledProcessError):
        return None


def main(arguments: Sequence[str] | None = None) -> None:
    """Run from the command line."""
    run_stage(register, arguments, "model_registration", "Make a bundle of a model that passes the gate.")


if __name__ == "__main__":
    main()
