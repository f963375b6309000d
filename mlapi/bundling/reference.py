"""Notes in a bundle how its answers to some texts are distributed: what drift is measured against."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from mlapi.bundles.manifest import MANIFEST_NAME, Manifest, render
from mlapi.bundles.reference import referred
from mlapi.bundles.store import read_manifest
from mlapi.classifier import Classifier
from mlapi.errors import BundleError
from mlapi.observability.drift import Sample

_TOGETHER: Final = 1000


def refer(folder: Path, texts: Sequence[str], threads: int) -> Manifest:
    """Ask the model for its answer to each text, and note in the manifest how they are distributed; its digest stays.

    Returns:
        The new manifest, of which a reader sees all, or the old one.

    Raises:
        BundleError: no bundle there, one that cannot be run here, a text that it cannot read, or a folder that cannot
            be written to.
        ConfigurationError: the engine's library is not installed.
    """
    sample = Sample()
    with Classifier.open(folder, threads=threads) as model:
        for start in range(0, len(texts), _TOGETHER):
            part = texts[start : start + _TOGETHER]
            try:
                answers = model.predict(part)
            except ValueError as error:
                msg = f"of the texts from number {start + 1} on: {error}"
                raise BundleError(msg) from error
            for answer in answers:
                sample.observe(answer.label, max(answer.scores), answer.tokens, answer.unknown)
    manifest = read_manifest(folder)
    changed = referred(manifest, sample)
    draft = folder / f".{MANIFEST_NAME}.{os.getpid()}"
    try:
        draft.write_bytes(render(changed))
        draft.chmod((folder / MANIFEST_NAME).stat().st_mode)
        draft.replace(folder / MANIFEST_NAME)
    except OSError as error:
        draft.unlink(missing_ok=True)
        msg = f"{folder / MANIFEST_NAME} cannot be written: {error.strerror}"
        raise BundleError(msg) from error
    return read_manifest(folder)
