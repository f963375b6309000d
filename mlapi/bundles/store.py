"""Opens, verifies and writes model bundles on disk."""

import hashlib
import mmap
import os
import tempfile
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

from mlapi.bundles.manifest import MANIFEST_NAME, FileEntry, Manifest, parse, render
from mlapi.errors import BundleError


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle on disk whose files were verified when it was opened."""

    folder: Path
    manifest: Manifest

    def file(self, name: str) -> Path:
        """Return the path of one of the bundle's files.

        Raises:
            BundleError: the manifest does not list that file.
        """
        if name not in self.manifest.files:
            msg = f"the bundle {self.manifest.name} has no file {name}; its engine is {self.manifest.engine}"
            raise BundleError(msg)
        return self.folder / name


def open_bundle(folder: Path) -> Bundle:
    """Open a bundle and verify the size and SHA-256 of each of its files.

    Raises:
        BundleError: no bundle there, a manifest that cannot be read, a file missing or changed.
    """
    manifest = read_manifest(folder)
    for name, entry in manifest.files.items():
        verify_file(folder, name, entry)
    return Bundle(folder, manifest)


def read_manifest(folder: Path) -> Manifest:
    """Read a bundle's manifest without touching its other files.

    Raises:
        BundleError: no manifest there, or one that cannot be read.
    """
    try:
        content = (folder / MANIFEST_NAME).read_bytes()
    except OSError as error:
        msg = f"{folder} is not a model bundle: {MANIFEST_NAME}: {error.strerror}"
        raise BundleError(msg) from error
    return parse(content)


def verify_file(folder: Path, name: str, entry: FileEntry) -> None:
    """Compare one file with its manifest entry.

    Raises:
        BundleError: the file is missing, or its size or SHA-256 differs.
    """
    try:
        actual = describe_file(folder / name)
    except OSError as error:
        msg = f"{folder / name}: {error.strerror}"
        raise BundleError(msg) from error
    if actual.bytes != entry.bytes:
        msg = f"{folder / name} has {actual.bytes} bytes, its manifest says {entry.bytes}"
        raise BundleError(msg)
    if actual.sha256 != entry.sha256:
        msg = f"{folder / name} was changed: sha256 {actual.sha256}, its manifest says {entry.sha256}"
        raise BundleError(msg)


def describe_file(path: Path) -> FileEntry:
    """Measure a file for a manifest."""
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        # One call outside the interpreter. After each of many, a thread waits until those that import let it in again.
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if size else nullcontext(b"") as content:
            return FileEntry(hashlib.sha256(content).hexdigest(), size)


def write_bundle(
    folder: Path, content: Mapping[str, Path], describe: Callable[[Mapping[str, FileEntry]], Manifest]
) -> Bundle:
    """Write a bundle in one step: a reader sees all of it or nothing.

    Args:
        folder: the bundle's folder; must not exist yet.
        content: the bundle's files by name, copied from these paths.
        describe: makes the manifest out of the files' entries.

    Raises:
        BundleError: the folder exists, or what was written cannot be read back.
    """
    if folder.exists():
        msg = f"{folder} exists already; choose another folder or remove it first"
        raise BundleError(msg)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as scratch:
        draft = Path(scratch) / "bundle"
        draft.mkdir()
        for name, source in content.items():
            (draft / name).write_bytes(source.read_bytes())
        entries = {name: describe_file(draft / name) for name in sorted(content)}
        (draft / MANIFEST_NAME).write_bytes(render(describe(entries)))
        open_bundle(draft)
        draft.rename(folder)
    return open_bundle(folder)
