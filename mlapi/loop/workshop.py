"""The folder of the loop: texts to learn from, bundles, reports, and the files of runs, each by its digest."""

import hashlib
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mlapi.bundles.manifest import MANIFEST_NAME
from mlapi.bundles.store import open_bundle, read_manifest
from mlapi.errors import BundleError

_PREFIX: Final = "."
"""What is being written has it: a reader sees all of a file or folder, or nothing."""


@dataclass(frozen=True, slots=True)
class Workshop:
    """The folder; it is made when something is first put into it."""

    root: Path

    def dataset(self, digest: str) -> Path:
        """Return the path of texts to learn from, by their SHA-256."""
        return self.root / "datasets" / f"{digest}.jsonl"

    def report(self, digest: str) -> Path:
        """Return the path of a report, by its SHA-256."""
        return self.root / "reports" / f"{digest}.json"

    def bundle(self, digest: str) -> Path:
        """Return the folder of a bundle, by its digest."""
        return self.root / "bundles" / digest

    def run(self, run: str) -> Path:
        """Return the folder of a run, which is made."""
        folder = self.root / "runs" / run
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def keep_dataset(self, content: bytes) -> str:
        """Write texts to learn from, and return their SHA-256."""
        digest = hashlib.sha256(content).hexdigest()
        _write(self.dataset(digest), content)
        return digest

    def keep_report(self, content: bytes) -> str:
        """Write a report, and return its SHA-256."""
        digest = hashlib.sha256(content).hexdigest()
        _write(self.report(digest), content)
        return digest

    def keep_bundle(self, folder: Path) -> str:
        """Copy a bundle that is whole, and return its digest.

        Raises:
            BundleError: it is not whole.
        """
        manifest = open_bundle(folder).manifest
        target = self.bundle(manifest.digest)
        if not (target / MANIFEST_NAME).exists():
            draft = target.with_name(f"{_PREFIX}{manifest.digest}.{os.getpid()}")
            shutil.rmtree(draft, ignore_errors=True)
            draft.parent.mkdir(parents=True, exist_ok=True)
            draft.mkdir()
            for name in (MANIFEST_NAME, *manifest.files):
                shutil.copyfile(folder / name, draft / name)
            shutil.rmtree(target, ignore_errors=True)
            draft.rename(target)
        return manifest.digest

    def has_dataset(self, digest: str) -> bool:
        """Tell whether texts to learn from are there, and are these."""
        try:
            return hashlib.sha256(self.dataset(digest).read_bytes()).hexdigest() == digest
        except OSError:
            return False

    def find_bundle(self, digest: str, *others: Path) -> Path | None:
        """Return the folder of a bundle: here, or one of the others; None where it is nowhere."""
        for folder in (self.bundle(digest), *others):
            try:
                if read_manifest(folder).digest == digest:
                    return folder
            except BundleError:
                continue
        return None

    def forget_texts(self, run: str, dataset: str) -> None:
        """Erase what a run that has ended holds of people's texts; its logs, and the digest of the texts, stay."""
        if dataset:
            self.dataset(dataset).unlink(missing_ok=True)
        folder = self.root / "runs" / run
        if folder.exists():
            for path in folder.iterdir():
                if path.is_dir():
                    shutil.rmtree(path, ignore_errors=True)


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{_PREFIX}{path.name}.{os.getpid()}")
    draft.touch(mode=0o600)
    draft.write_bytes(content)
    draft.replace(path)
