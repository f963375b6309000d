"""What is in the corpus of hostile requests breaks no reader of heads, framing or bodies."""

from collections import Counter

import pytest

from soak.corpus import CORPUS, FORMATS, HTTP, read_corpus
from soak.targets import WrongError, connection, targets

ENTRIES = read_corpus()


def test_every_wire_format_has_requests_and_they_are_small() -> None:
    kinds = Counter(entry.kind for entry in ENTRIES)
    assert set(kinds) == {HTTP, *FORMATS}
    assert min(kinds.values()) >= 4
    assert sum(len(entry.data) for entry in ENTRIES) < 256 * 1024
    assert {entry.status // 100 for entry in ENTRIES} == {0, 2, 4}
    assert len({(entry.kind, entry.data) for entry in ENTRIES}) == len(ENTRIES)


@pytest.mark.parametrize("kind", sorted(path.name for path in CORPUS.iterdir()))
def test_no_request_of_the_corpus_raises_anything_but_a_refusal(kind: str) -> None:
    run = targets()[kind]
    for entry in ENTRIES:
        if entry.kind == kind:
            run(entry.data)


def test_a_reader_that_breaks_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("soak.targets._SERVER_FAULT", 200)
    with pytest.raises(WrongError):
        connection(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n")
