"""Gets a checkpoint: from a local folder, or from a model hub at one pinned commit, and verifies its weights."""

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import partial
from pathlib import Path
from typing import Final

import msgspec
from huggingface_hub import HfApi
from huggingface_hub.errors import GatedRepoError, HTTPError, RepositoryNotFoundError, RevisionNotFoundError
from huggingface_hub.hf_api import ModelInfo

from mlapi.errors import BundleError

CONFIG: Final = "config.json"
WEIGHTS: Final = "model.safetensors"
INDEX: Final = "model.safetensors.index.json"
"""Says which file holds which weight where they are too many for one."""

_ADAPTER: Final = "adapter_config.json"
_TOKENIZER_FILES: Final = (
    "tokenizer.json",
    "tokenizer.*.json",  # for older versions of the library, if tokenizer_config.json says so
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
    "*.model",  # of SentencePiece, under a name that depends on the architecture
)
_OTHERS: Final = (".safetensors", ".h5", ".msgpack", ".onnx", ".gguf")
_PICKLED: Final = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
_POINTER: Final = b"version https://git-lfs.github.com/"
_COMMIT: Final = re.compile(r"[0-9a-f]{40}")
_HUB_ID: Final = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A checkpoint on this disk.

    Attributes:
        folder: holds `config.json`, the weights and the tokenizer's files.
        source: the hub's id, or the name of the local folder.
        revision: the hub's commit, or for a local folder the SHA-256 of the weights: of `model.safetensors`, or of what
            `sha256sum` prints for the files that the index names, sorted by name.
        weights: `model.safetensors`, or those files.
    """

    folder: Path
    source: str
    revision: str
    weights: tuple[Path, ...]


def pull(
    source: str,
    *,
    revision: str | None = None,
    sha256: str | None = None,
    say: Callable[[str], None],
    endpoint: str | None = None,
    cache: Path | None = None,
) -> Checkpoint:
    """Get a checkpoint and verify it.

    Args:
        source: a folder, or else the id of a model on the hub.
        revision: the commit, 40 hex digits; required for a hub, refused for a folder.
        sha256: what the SHA-256 (hex) of the weights must be, as in `Checkpoint.revision`.
        say: told what takes time.
        endpoint: the hub's address; by default the one that `huggingface_hub` uses (`HF_ENDPOINT`).
        cache: where downloads are kept; by default where `huggingface_hub` keeps them (`HF_HOME`).

    Raises:
        BundleError: there is no such checkpoint, it cannot be reached, it lacks a file, it has its weights only in
            pickled form, or its weights are not the expected ones.
    """
    if source and Path(source).is_dir():
        if revision is not None:
            msg = f"{source} is a folder, which has no revisions; leave --revision out, or pin it with --sha256"
            raise BundleError(msg)
        folder = Path(source).resolve()
        names = {path.name for path in folder.iterdir()}
        _check_complete(names, source)
        weights = tuple(folder / name for name in _weight_files(folder, names, source))
        _check_fetched(folder, weights)
        actual = _sha256_of_all(weights)
        checkpoint = Checkpoint(folder, folder.name, actual, weights)
    else:
        if not _HUB_ID.fullmatch(source):
            msg = f"{source} is neither a folder nor the id of a model on a hub, such as owner/name"
            raise BundleError(msg)
        checkpoint = _download(HfApi(endpoint), source, revision, say, cache)
        actual = _sha256_of_all(checkpoint.weights) if sha256 else ""
    if sha256 is not None and actual != sha256.lower():
        files = (
            checkpoint.weights[0].name
            if len(checkpoint.weights) == 1
            else f"the list of the {len(checkpoint.weights)} files of weights"
        )
        msg = f"{files} of {source} has the sha256 {actual}, not the expected {sha256.lower()}"
        raise BundleError(msg)
    return checkpoint


def _download(
    hub: HfApi, source: str, revision: str | None, say: Callable[[str], None], cache: Path | None
) -> Checkpoint:
    """Download the needed files of one commit."""
    try:
        info = hub.model_info(source, revision=revision, files_metadata=True)
        commit = str(info.sha)
        if revision is None or not _COMMIT.fullmatch(revision):
            name = revision or "main"
            msg = f"{source}: {name} can move; pin the commit, which is now: --revision {commit}"
            raise BundleError(msg)
        if commit != revision:
            msg = f"{hub.endpoint} answers with commit {commit} of {source} instead of {revision}"
            raise BundleError(msg)

        def get(name: str) -> Path:
            say(f"getting {name} of {source} at {commit[:12]}")
            return Path(hub.hf_hub_download(source, name, revision=commit, cache_dir=cache))

        names = {file.rfilename for file in info.siblings or () if "/" not in file.rfilename}
        _check_complete(names, source)
        small = {
            name for name in names if name in {CONFIG, INDEX} or any(map(partial(fnmatch, name), _TOKENIZER_FILES))
        }
        if WEIGHTS in names:
            small.discard(INDEX)
        paths = [get(name) for name in sorted(small)]
        folder = paths[0].parent
        weights = tuple(get(name) for name in _weight_files(folder, names, source))
    except (OSError, HTTPError) as error:
        msg = f"cannot get {source} from {hub.endpoint}: {_reason(error, revision)}"
        raise BundleError(msg) from error
    for path in (*paths, *weights):
        _check_transfer(info, path)
    return Checkpoint(folder, source, commit, weights)


def _check_complete(names: set[str], source: str) -> None:
    """Check by its files' names that a checkpoint can be built, before anything large is fetched."""
    if _ADAPTER in names:
        msg = (
            f"{source} is an adapter for another model ({_ADAPTER}): merge the two with peft's merge_and_unload, and "
            "save the result with save_pretrained"
        )
        raise BundleError(msg)
    if CONFIG not in names:
        msg = f"{source} has no {CONFIG}, so it is no checkpoint of transformers"
        raise BundleError(msg)
    if not names & {WEIGHTS, INDEX}:
        pickled = sorted(name for name in names if name.endswith(_PICKLED))
        others = sorted(name for name in names if name.endswith(_OTHERS))
        reason = f"; {', '.join(pickled)} is refused, because loading a pickle runs its code" if pickled else ""
        if pickled:
            reason += ": where you trust it, load it with AutoModelForSequenceClassification and use save_pretrained"
        if others:
            reason += f"; {', '.join(others)} is not what the build reads"
        msg = f"{source} has no {WEIGHTS}{reason}"
        raise BundleError(msg)
    merged = names.issuperset({"vocab.json", "merges.txt"})
    if not (merged or names & {"tokenizer.json", "vocab.txt"} or any(name.endswith(".model") for name in names)):
        msg = (
            f"{source} has no tokenizer: neither tokenizer.json nor vocab.txt, vocab.json with merges.txt, or a model "
            "of SentencePiece (*.model)"
        )
        raise BundleError(msg)


def _weight_files(folder: Path, names: set[str], source: str) -> list[str]:
    """Return the files that hold the weights, sorted by name.

    Raises:
        BundleError: the index cannot be read, or names a file that is not there.
    """
    if WEIGHTS in names:
        return [WEIGHTS]
    try:
        files = sorted(set(msgspec.json.decode((folder / INDEX).read_bytes(), type=_Index).weight_map.values()))
    except msgspec.DecodeError as error:
        msg = f"{INDEX} of {source} cannot be read: {error}"
        raise BundleError(msg) from error
    missing = [name for name in files if name not in names or not name.endswith(".safetensors")]
    if missing or not files:
        msg = f"{source} lacks files of weights that {INDEX} names: {', '.join(missing) or 'none at all'}"
        raise BundleError(msg)
    return files


def _check_fetched(folder: Path, weights: Sequence[Path]) -> None:
    """Refuse a clone whose large files are still to be fetched."""
    for path in (*weights, *folder.glob("*.model"), *folder.glob("tokenizer.json")):
        with path.open("rb") as file:
            if file.read(len(_POINTER)) == _POINTER:
                msg = f"{path} is a pointer of Git LFS, not the file itself: fetch it with git lfs pull"
                raise BundleError(msg)


class _Index(msgspec.Struct):
    """The part that matters of `model.safetensors.index.json`: the file of each weight."""

    weight_map: dict[str, str]


def _check_transfer(info: ModelInfo, path: Path) -> None:
    """Compare a file with the SHA-256 that the hub has on record; the client itself compares sizes only."""
    large = next((file.lfs for file in info.siblings or () if file.rfilename == path.name), None)
    if large is not None and _sha256_of(path) != large.sha256:
        # The cache would serve the damaged file again for ever.
        path.resolve().unlink()
        path.unlink()
        msg = f"{path.name} of {info.id} was damaged on its way and is removed; try again"
        raise BundleError(msg)


def _reason(error: Exception, revision: str | None) -> str:
    """Say what went wrong; the order matters, since a gated model is a kind of one not found."""
    if isinstance(error, GatedRepoError):
        return "it is gated; accept its terms on the hub and set HF_TOKEN"
    if isinstance(error, RepositoryNotFoundError):
        return "there is no such model, or it is private and HF_TOKEN does not open it"
    if isinstance(error, RevisionNotFoundError):
        return f"it has no revision {revision}"
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"


def _sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sha256_of_all(weights: Sequence[Path]) -> str:
    if len(weights) == 1:
        return _sha256_of(weights[0])
    listing = "".join(f"{_sha256_of(path)}  {path.name}\n" for path in weights)
    return hashlib.sha256(listing.encode()).hexdigest()
