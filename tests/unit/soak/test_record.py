"""The corpus is named anew as a whole: what had no answer in time is not dropped from it."""

from collections.abc import Iterable
from pathlib import Path

import pytest

from soak import record
from soak.record import Candidate


@pytest.fixture
def corpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("200-one", "400-two"):
        path = tmp_path / "corpus" / "http" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    monkeypatch.setattr(record, "CORPUS", tmp_path / "corpus")
    return tmp_path / "corpus"


def answered(candidates: Iterable[Candidate], folder: Path) -> list[str]:
    """Write each under another status, as if the service had changed."""
    written = []
    for kind, name, data in candidates:
        path = folder / kind / f"422-{name}"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
        written.append(f"{kind}/{path.name}")
    return written


def test_all_entries_get_their_new_names(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record, "record", answered)
    record.main()
    assert {path.name: path.read_bytes() for path in corpus.glob("*/*")} == {
        "422-one": b"200-one",
        "422-two": b"400-two",
    }


def test_an_entry_without_an_answer_leaves_the_corpus_as_it_is(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record, "record", lambda candidates, folder: answered([*candidates][1:], folder))
    with pytest.raises(SystemExit, match="only 1 of 2 requests were answered; nothing in the corpus was changed"):
        record.main()
    assert sorted(path.name for path in corpus.glob("*/*")) == ["200-one", "400-two"]
