"""Gets a checkpoint: from a local folder, or from a model hub at one pinned commit, and verifies its weights."""

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from huggingface_hub import HfApi
from huggingface_hub.errors import GatedRepoError, HTTPError, RepositoryNotFoundError, RevisionNotFoundError
from huggingface_hub.hf_api import ModelInfo

from mlapi.errors import BundleError

CONFIG: Final = "config.json"
WEIGHTS: Final = "model.safetensors"

_TOKENIZER_FILES: Final = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
)
_PICKLED: Final = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
_COMMIT: Final = re.compile(r"[0-9a-f]{40}")
_HUB_ID: Final = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A checkpoint on this disk.

    Attributes:
        folder: holds `config.json`, `model.safetensors` and the tokenizer's files.
        source: the hub's id, or the name of the local folder.
        revision: the hub's commit, or the SHA-256 of the weights of a local folder.
    """

    folder: Path
    source: str
    revision: str


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
        sha256: what the SHA-256 (hex) of `model.safetensors` must be.
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
        _check_complete({path.name for path in folder.iterdir()}, source)
        actual = _sha256_of(folder / WEIGHTS)
        checkpoint = Checkpoint(folder, folder.name, actual)
    else:
        if not _HUB_ID.fullmatch(source):
            msg = f"{source} is neither a folder nor the id of a model on a hub, such as owner/name"
            raise BundleError(msg)
        folder, commit = _download(HfApi(endpoint), source, revision, say, cache)
        actual = _sha256_of(folder / WEIGHTS)
        checkpoint = Checkpoint(folder, source, commit)
    if sha256 is not None and actual != sha256.lower():
        msg = f"{WEIGHTS} of {source} has the sha256 {actual}, not the expected {sha256.lower()}"
        raise BundleError(msg)
    return checkpoint


def _download(
    hub: HfApi, source: str, revision: str | None, say: Callable[[str], None], cache: Path | None
) -> tuple[Path, str]:
    """Download the needed files of one commit; return their folder and the commit."""
    try:
        info = hub.model_info(source, revision=revision, files_metadata=True)
        commit = str(info.sha)
        if revision is None or not _COMMIT.fullmatch(revision):
            name = revision or "main"
            msg = f"{source}: {name} can move; pin the commit, which is now: --revision {commit}"
            raise BundleError(msg)
        names = {file.rfilename for file in info.siblings or ()}
        _check_complete(names, source)
        paths = {}
        for name in sorted(names.intersection({CONFIG, WEIGHTS, *_TOKENIZER_FILES})):
            say(f"getting {name} of {source} at {commit[:12]}")
            paths[name] = Path(hub.hf_hub_download(source, name, revision=commit, cache_dir=cache))
    except (OSError, HTTPError) as error:
        msg = f"cannot get {source} from {hub.endpoint}: {_reason(error, revision)}"
        raise BundleError(msg) from error
    _check_transfer(info, paths[WEIGHTS])
    return paths[WEIGHTS].parent, commit


def _check_complete(names: set[str], source: str) -> None:
    if CONFIG not in names:
        msg = f"{source} has no {CONFIG}, so it is no checkpoint of transformers"
        raise BundleError(msg)
    if WEIGHTS not in names:
        pickled = sorted(name for name in names if name.endswith(_PICKLED))
        reason = f"; {', '.join(pickled)} is refused, because loading a pickle runs its code" if pickled else ""
        msg = f"{source} has no {WEIGHTS}{reason}"
        raise BundleError(msg)
    if not names.intersection(_TOKENIZER_FILES):
        msg = f"{source} has no tokenizer: none of {', '.join(_TOKENIZER_FILES)}"
        raise BundleError(msg)


def _check_transfer(info: ModelInfo, weights: Path) -> None:
    """Compare the weights with the SHA-256 that the hub has on record; the client itself compares sizes only."""
    large = next((file.lfs for file in info.siblings or () if file.rfilename == WEIGHTS), None)
    if large is not None and _sha256_of(weights) != large.sha256:
        # The cache would serve the damaged file again for ever.
        weights.resolve().unlink()
        weights.unlink()
        msg = f"{WEIGHTS} of {info.id} was damaged on its way and is removed; try again"
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
