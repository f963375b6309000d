"""Parts of a file that were answered apart are joined to the bytes of a single run, or refused before any work."""

from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from mlapi.offline.base import OfflineError
from mlapi.offline.joining import divide, join
from mlapi.offline.opening import Pair, open_job
from mlapi.offline.shards import WHOLE
from tests.offline_runs import OPTIONS, ByLength, compressed, lines

TEXTS = ["a", "", "bb", "a", "c c c", "", "dddd", "\u00e9", "a", "last one"]
JSONL = "\ufeff" + "".join(f'{{"n":{n},"text":"{text}"}}\n\n' + "{no\n" * (n % 3) for n, text in enumerate(TEXTS))
CSV = "text,n\r\n" + "".join(f'"{text}\r\n",{n}\r\n' + "x\r\n" * (n % 3) for n, text in enumerate(TEXTS))
TXT = "\n".join(TEXTS)


def answer(pair: Pair) -> None:
    answerer = ByLength()
    job = open_job(pair, OPTIONS, answerer.digest, print)
    with closing(job.source):
        job.run(answerer, lambda _: None, restart=False)


@pytest.mark.parametrize("count", [3, 12])
@pytest.mark.parametrize(
    ("name", "content"),
    [("in.jsonl", JSONL), ("in.jsonl.gz", JSONL), ("in.csv", CSV), ("in.csv.zst", CSV), ("in.txt", TXT)],
)
def test_the_parts_make_the_whole(tmp_path: Path, name: str, content: str, count: int) -> None:
    source = compressed(tmp_path / name, content.encode())
    whole, target = (tmp_path / f"{stem}{source.suffixes[0]}" for stem in ("whole", "joined"))
    answer(Pair(source, whole, WHOLE))
    for _ in range(2):
        pairs = divide(source, target, count, OPTIONS, restart=False)
        for pair in reversed(pairs):
            answer(pair)
        join(pairs, target, OPTIONS)
    assert target.read_bytes() == whole.read_bytes()
    found, expected = (lines(path.with_name(f"{path.name}.errors.jsonl")) for path in (target, whole))
    assert len(expected) > 1
    assert found == expected


def test_refused_rows_of_an_earlier_run_are_forgotten(tmp_path: Path) -> None:
    source, target = tmp_path / "in.txt", tmp_path / "out.txt"
    source.write_text("a\nb\n")
    old = tmp_path / "out.txt.errors.jsonl"
    old.write_text("{}\n")
    pairs = divide(source, target, 2, OPTIONS, restart=False)
    for pair in pairs:
        answer(pair)
    join(pairs, target, OPTIONS)
    assert not old.exists()


@pytest.mark.parametrize(
    ("source", "target", "says"),
    [
        ("-", "out.jsonl", "cannot be divided"),
        ("in.jsonl", "-", "cannot be divided"),
        ("nothing.jsonl", "out.jsonl", "there is no file"),
        ("folder", "out", "divided by --shard"),
        ("in.jsonl", "folder", "divided by --shard"),
        ("in.jsonl", "out.jsonl.gz", "cannot be joined"),
        ("in.jsonl", "out.parquet", "cannot be joined"),
        ("in.parquet", "out.jsonl", "cannot be joined"),
        ("in.jsonl", "out.what", "--output-format"),
        ("in.jsonl", "in.jsonl", "is the input as well"),
        ("in.jsonl", "out.csv", "--keep"),
        ("in.jsonl", "there.jsonl", "no run that could be continued"),
    ],
)
def test_what_cannot_be_joined_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, target: str, says: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("folder").mkdir()
    for name in ("in.jsonl", "in.parquet", "there.jsonl"):
        Path(name).write_text('{"text":"a"}\n')
    with pytest.raises(OfflineError, match=says):
        divide(Path(source), Path(target), 2, OPTIONS, restart=False)


def test_an_output_is_overwritten_where_that_is_asked_for(tmp_path: Path) -> None:
    source, target = tmp_path / "in.txt", tmp_path / "out.jsonl"
    source.write_text("a\n")
    target.write_text("mine\n")
    assert len(divide(source, target, 2, replace(OPTIONS, window=2), restart=True)) == 2
