"""The file of keys is followed; one that is broken or gone changes nothing but a gauge and one line in the log."""

import logging
from pathlib import Path

import pytest

from mlapi.access.gate import Gate
from mlapi.access.key_text import ApiKey, make_key
from mlapi.access.keys_file import KeyRecord, write_keys
from mlapi.access.watched_file import WatchedKeysFile
from mlapi.errors import ConfigurationError
from mlapi.observability.metrics import Metrics


def content(*keys: ApiKey) -> bytes:
    return write_keys([KeyRecord(key.id, (key.digest.hex(),), "test") for key in keys])


class Followed:
    """A gate that follows a file."""

    def __init__(self, path: Path) -> None:
        self.metrics = Metrics()
        self.gate = Gate(self.metrics, now=lambda: 0.0)
        self.file = WatchedKeysFile(path, self.gate, self.metrics)
        self.changes = 0
        self.gate.on_change(self._changed)

    def _changed(self) -> None:
        self.changes += 1

    def lets_in(self, key: ApiKey) -> bool:
        return self.gate.peek({b"x-api-key": str(key).encode()}, "project", "predict") is not None

    @property
    def stale(self) -> float | None:
        return self.metrics.registry.get_sample_value("mlapi_keys_file_stale")


async def test_a_new_file_is_taken_over_and_nothing_happens_without_one(tmp_path: Path) -> None:
    path, old, new = tmp_path / "keys.json", make_key(), make_key()
    path.write_bytes(content(old))
    followed = Followed(path)
    followed.file.open()
    assert (followed.lets_in(old), followed.lets_in(new), followed.changes) == (True, False, 1)
    await followed.file.check()
    assert followed.changes == 1
    path.write_bytes(content(new))
    await followed.file.check()
    assert (followed.lets_in(old), followed.lets_in(new), followed.changes, followed.stale) == (False, True, 2, 0)


async def test_the_files_of_a_kubernetes_secret_are_followed(tmp_path: Path) -> None:
    """The kubelet writes a new folder and swaps a link to it, so that nobody sees half of a Secret."""
    old, new = make_key(), make_key()
    for name, key in (("..1", old), ("..2", new)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "keys.json").write_bytes(content(key))
    (tmp_path / "..data").symlink_to("..1")
    (tmp_path / "keys.json").symlink_to("..data/keys.json")
    followed = Followed(tmp_path / "keys.json")
    followed.file.open()
    (tmp_path / "..tmp").symlink_to("..2")
    (tmp_path / "..tmp").rename(tmp_path / "..data")
    await followed.file.check()
    assert (followed.lets_in(old), followed.lets_in(new)) == (False, True)


async def test_a_broken_file_leaves_the_keys_until_it_is_mended(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path, key, other = tmp_path / "keys.json", make_key(), make_key()
    path.write_bytes(content(key))
    followed = Followed(path)
    followed.file.open()
    with caplog.at_level(logging.ERROR):
        for broken in (b"", content(key, key), None):
            caplog.clear()
            path.unlink() if broken is None else path.write_bytes(broken)
            for _ in range(3):
                await followed.file.check()
            assert len(caplog.records) == 1
            assert (followed.lets_in(key), followed.stale, followed.changes) == (True, 1, 1)
    path.write_bytes(content(other))
    await followed.file.check()
    assert (followed.lets_in(key), followed.lets_in(other), followed.stale) == (False, True, 0)


@pytest.mark.parametrize("broken", [None, b"{}"])
def test_a_start_with_a_broken_file_fails(tmp_path: Path, broken: bytes | None) -> None:
    path = tmp_path / "keys.json"
    if broken is not None:
        path.write_bytes(broken)
    with pytest.raises(ConfigurationError, match="MLAPI_KEYS_FILE="):
        Followed(path).file.open()
