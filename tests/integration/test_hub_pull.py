"""Checkpoints come from a hub through its real client: pinned, verified, resumed, and refused with a clear reason."""

# ruff: noqa: E402  the libraries are imported only where they are installed

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from pathlib import Path

import pytest

from tests.architecture.source_rules import ROOT
from tests.engine_checkpoints import TinyCheckpoint, need_pipeline
from tests.integration.hub import Hub, Request, serve, sha256

need_pipeline()

from mlapi.bundles.store import open_bundle
from mlapi.bundling.pull import CONFIG, INDEX, WEIGHTS, Checkpoint, pull
from mlapi.errors import BundleError

pytestmark = pytest.mark.torch

described = Hub.info
ID = "someone/tiny-classifier"
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = TinyCheckpoint().write(tmp_path_factory.mktemp("checkpoint"))
    unwanted = {
        "README.md": b"# tiny",
        "pytorch_model.bin": b"pickle",
        "onnx/model.onnx": b"graph",
        ".gitattributes": b"",
    }
    return {path.name: path.read_bytes() for path in folder.iterdir()} | unwanted


@pytest.fixture
def hub(files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    with serve(Hub(ID, COMMIT, files)) as running:
        yield running


def get(
    hub: Hub, cache: Path, *, source: str = ID, revision: str | None = COMMIT, sha256: str | None = None
) -> tuple[Checkpoint, list[str]]:
    said: list[str] = []
    checkpoint = pull(source, revision=revision, sha256=sha256, say=said.append, endpoint=hub.url, cache=cache)
    return checkpoint, said


def downloads(hub: Hub, name: str) -> list[Request]:
    return [request for request in hub.requests if request.method == "GET" and request.path.endswith(f"/{name}")]


def test_exactly_the_needed_files_of_the_commit_are_fetched(hub: Hub, tmp_path: Path) -> None:
    checkpoint, said = get(hub, tmp_path)
    needed = {CONFIG, WEIGHTS, "tokenizer.json", "tokenizer_config.json"}
    assert (checkpoint.source, checkpoint.revision) == (ID, COMMIT)
    assert {path.name for path in checkpoint.folder.iterdir()} == needed
    assert {name: (checkpoint.folder / name).read_bytes() for name in needed} == {
        name: hub.files[name] for name in needed
    }
    assert said == [f"getting {name} of {ID} at {COMMIT[:12]}" for name in (*sorted(needed - {WEIGHTS}), WEIGHTS)]


def in_parts(files: Mapping[str, bytes]) -> dict[str, bytes]:
    """The same checkpoint with its weights in two files, and with a model of SentencePiece for a tokenizer."""
    parts = [f"model-0000{part}-of-00002.safetensors" for part in (1, 2)]
    index = json.dumps({"weight_map": {"a.weight": parts[0], "b.weight": parts[1]}}).encode()
    wanted = {CONFIG: files[CONFIG], INDEX: index, "spiece.model": b"pieces", **{part: part.encode() for part in parts}}
    return wanted | {"more/spiece.model": b"", "model-00009-of-00009.safetensors": b"", "flax_model.msgpack": b""}


def test_weights_in_several_files_and_models_of_sentencepiece_are_fetched(hub: Hub, tmp_path: Path) -> None:
    hub.files = in_parts(hub.files)
    checkpoint, said = get(hub, tmp_path)
    fetched = list(hub.files)[:5]
    assert {path.name for path in checkpoint.folder.iterdir()} == set(fetched)
    assert [path.name for path in checkpoint.weights] == fetched[3:]
    assert len(said) == len(fetched)


def test_damaged_parts_are_refused_and_not_kept(hub: Hub, tmp_path: Path) -> None:
    hub.files = in_parts(hub.files)
    name = "model-00002-of-00002.safetensors"
    hub.sent[name] = b"?" + hub.files[name][1:]
    with pytest.raises(BundleError, match=f"{name} of {ID} was damaged on its way and is removed; try again"):
        get(hub, tmp_path)
    hub.sent.clear()
    checkpoint, _ = get(hub, tmp_path)
    assert checkpoint.weights[1].read_bytes() == name.encode()


def test_a_part_that_the_hub_lacks_is_named_before_any_part_is_fetched(hub: Hub, tmp_path: Path) -> None:
    name = "model-00002-of-00002.safetensors"
    hub.files = {file: content for file, content in in_parts(hub.files).items() if file != name}
    with pytest.raises(BundleError, match=f"{ID} lacks files of weights that {INDEX} names: {name}"):
        get(hub, tmp_path)
    assert downloads(hub, "model-00001-of-00002.safetensors") == []


def test_an_adapter_is_refused(hub: Hub, tmp_path: Path) -> None:
    hub.files = {"adapter_config.json": b"{}", "adapter_model.safetensors": b"", "tokenizer.json": b"{}"}
    with pytest.raises(BundleError, match="is an adapter for another model"):
        get(hub, tmp_path)


def test_what_is_there_already_is_not_fetched_again(hub: Hub, tmp_path: Path) -> None:
    get(hub, tmp_path)
    get(hub, tmp_path)
    assert len(downloads(hub, WEIGHTS)) == 1


@pytest.mark.parametrize("revision", ["main", None])
def test_a_revision_that_can_move_is_refused_and_the_commit_named(
    hub: Hub, tmp_path: Path, revision: str | None
) -> None:
    with pytest.raises(BundleError, match=f"main can move; pin the commit, which is now: --revision {COMMIT}"):
        get(hub, tmp_path, revision=revision)
    assert downloads(hub, WEIGHTS) == []


@pytest.mark.parametrize("revision", ["f" * 40, "v1.0", COMMIT[:12]])
def test_an_unknown_revision_is_refused(hub: Hub, tmp_path: Path, revision: str) -> None:
    with pytest.raises(BundleError, match=f"{ID} from {hub.url}: it has no revision {revision}"):
        get(hub, tmp_path, revision=revision)


def test_another_commit_than_the_pinned_one_is_refused(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = "f" * 40
    monkeypatch.setattr(Hub, "info", lambda self: described(self).replace(COMMIT.encode(), other.encode()))
    with pytest.raises(BundleError, match=f"answers with commit {other} of {ID} instead of {COMMIT}"):
        get(hub, tmp_path)
    assert downloads(hub, WEIGHTS) == []


def test_the_expected_sha256_is_compared(hub: Hub, tmp_path: Path) -> None:
    actual = sha256(hub.files[WEIGHTS])
    get(hub, tmp_path, sha256=actual.upper())
    with pytest.raises(BundleError, match=f"has the sha256 {actual}, not the expected {'0' * 64}"):
        get(hub, tmp_path, sha256="0" * 64)


def test_damaged_weights_are_refused_and_not_kept(hub: Hub, tmp_path: Path) -> None:
    hub.sent[WEIGHTS] = hub.files[WEIGHTS][:-1] + b"?"
    with pytest.raises(BundleError, match="damaged on its way and is removed; try again"):
        get(hub, tmp_path)
    hub.sent.clear()
    checkpoint, _ = get(hub, tmp_path)
    assert (checkpoint.folder / WEIGHTS).read_bytes() == hub.files[WEIGHTS]


def test_an_interrupted_download_is_resumed(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The client keeps whole chunks only, and its own are larger than these weights.
    monkeypatch.setattr("huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE", 400)
    hub.cut_after[WEIGHTS] = 1_000
    checkpoint, _ = get(hub, tmp_path)
    assert (checkpoint.folder / WEIGHTS).read_bytes() == hub.files[WEIGHTS]
    assert [request.range for request in downloads(hub, WEIGHTS)] == [None, "bytes=800-"]


def test_a_download_that_fails_can_be_tried_again(hub: Hub, tmp_path: Path) -> None:
    hub.refuse[WEIGHTS] = HTTPStatus.INTERNAL_SERVER_ERROR
    with pytest.raises(BundleError, match=r"cannot get someone/tiny-classifier from .*500"):
        get(hub, tmp_path)
    hub.refuse.clear()
    checkpoint, _ = get(hub, tmp_path)
    assert (checkpoint.folder / WEIGHTS).read_bytes() == hub.files[WEIGHTS]


@pytest.mark.parametrize(
    ("missing", "said"),
    [
        ({CONFIG}, f"has no {CONFIG}"),
        ({WEIGHTS}, r"has no model.safetensors; pytorch_model.bin is refused, because loading a pickle runs its code"),
        ({WEIGHTS, "pytorch_model.bin"}, r"has no model.safetensors$"),
        ({"tokenizer.json"}, "has no tokenizer: neither tokenizer.json nor vocab.txt"),
        ({"tokenizer.json", "tokenizer_config.json"}, "has no tokenizer"),
    ],
    ids=["configuration", "only pickled weights", "weights", "vocabulary", "tokenizer"],
)
def test_an_incomplete_checkpoint_is_refused_before_any_download(
    hub: Hub, tmp_path: Path, missing: set[str], said: str
) -> None:
    hub.files = {name: content for name, content in hub.files.items() if name not in missing}
    with pytest.raises(BundleError, match=said):
        get(hub, tmp_path)
    assert [request for request in hub.requests if "/resolve/" in request.path] == []


@pytest.mark.parametrize(
    ("status", "code", "said"),
    [
        (HTTPStatus.FORBIDDEN, "GatedRepo", "it is gated; accept its terms on the hub and set HF_TOKEN"),
        (HTTPStatus.UNAUTHORIZED, "GatedRepo", "it is gated"),
        (HTTPStatus.UNAUTHORIZED, "RepoNotFound", "there is no such model, or it is private"),
        (HTTPStatus.NOT_FOUND, "RepoNotFound", "there is no such model"),
        (HTTPStatus.BAD_GATEWAY, "", "502"),
    ],
)
def test_a_hub_that_refuses_is_explained(hub: Hub, tmp_path: Path, status: HTTPStatus, code: str, said: str) -> None:
    hub.refuse_model = (status, code)
    with pytest.raises(BundleError, match=said):
        get(hub, tmp_path)


@pytest.mark.usefixtures("hub")
def test_an_unreachable_hub_is_explained(tmp_path: Path) -> None:
    with serve(Hub(ID, COMMIT, {})) as gone:
        pass
    with pytest.raises(BundleError, match=f"cannot get {ID} from {gone.url}: ConnectError"):
        get(gone, tmp_path)


def test_the_client_in_offline_mode_is_explained(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(BundleError, match="offline"):
        get(hub, tmp_path)


def test_the_command_builds_a_bundle_from_the_hub_that_hf_endpoint_names(hub: Hub, tmp_path: Path) -> None:
    command = [sys.executable, "-c", "from mlapi.cli.group import main; main()", "bundle", "build"]
    options = ["--source", ID, "--revision", COMMIT, "--output", str(tmp_path / "bundle"), "--precision", "fp32"]
    environment = {**os.environ, "HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "cache")}
    done = subprocess.run([*command, *options], cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    manifest = open_bundle(tmp_path / "bundle").manifest
    assert (manifest.name, manifest.provenance.source, manifest.provenance.revision) == ("tiny-classifier", ID, COMMIT)
    assert f"mlapi: getting {WEIGHTS} of {ID} at {COMMIT[:12]}\n" in done.stderr
