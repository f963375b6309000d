"""The secret of the feedback: from a file, made once, and different for each use."""

import stat
import threading
from pathlib import Path

import pytest

from mlapi.errors import ConfigurationError
from mlapi.feedback.keys import FeedbackKeys, read_keys

KEYS = FeedbackKeys(b"0" * 32)


def test_a_missing_file_is_made_for_its_owner_alone_and_then_kept(tmp_path: Path) -> None:
    file = tmp_path / "data" / "feedback.key"
    first = read_keys(file, create=True)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert read_keys(file, create=True).fingerprint == read_keys(file, create=False).fingerprint == first.fingerprint
    assert [path.name for path in file.parent.iterdir()] == ["feedback.key"]


def test_processes_that_begin_together_agree_on_one_secret(tmp_path: Path) -> None:
    found: list[str] = []
    barrier = threading.Barrier(8)

    def begin() -> None:
        barrier.wait()
        found.append(read_keys(tmp_path / "key", create=True).fingerprint)

    threads = [threading.Thread(target=begin) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(found)) == 1


def test_a_file_that_is_missing_and_not_to_be_made_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"the secret of the feedback, .*key: No such file"):
        read_keys(tmp_path / "key", create=False)


@pytest.mark.parametrize("content", [b"", b"short\n", b"\n" * 40, b"0" * 31, b"0" * 1025])
def test_what_is_no_secret_stops_the_start(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "key"
    file.write_bytes(content)
    with pytest.raises(ConfigurationError, match=r"has .* bytes; it takes 32 to 1024"):
        read_keys(file, create=False)


def test_pseudonyms_differ_by_use_value_and_secret_and_by_nothing_else() -> None:
    names = {
        KEYS.pseudonym("subjects", b"alice"),
        KEYS.pseudonym("answers", b"alice"),
        KEYS.pseudonym("subjects", b"bob"),
        KEYS.pseudonym("subjects", b"ali", b"ce"),
        FeedbackKeys(b"1" * 32).pseudonym("subjects", b"alice"),
    }
    assert len(names) == 5
    assert KEYS.pseudonym("subjects", b"alice") == FeedbackKeys(b"0" * 32).pseudonym("subjects", b"alice")
