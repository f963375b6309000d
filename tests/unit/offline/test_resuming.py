"""A run that dies at any moment is continued, and its output becomes the one of a run that did not, to the byte."""

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from mlapi.offline.base import Answered, OfflineError
from mlapi.offline.job import Count, OnError
from mlapi.offline.opening import Options, Pair, open_job
from mlapi.offline.shards import WHOLE, Part
from tests.offline_runs import OPTIONS, ByLength, compressed, lines

ROWS = (
    *('{"text": "a", "n": 1}', '{"text": "bb", "n": 1.50}', "broken", '{"n": 3}', '{"text": "c c", "n": 4}'),
    *('{"text": "a"}', '{"text": ""}', '{"text": "ccc", "n": 12345678901234567890}', '{"text": 5}', '{"text": "d"}'),
    *('{"text": "é", "n": 1}', "", '{"text": "bb"}', '{"text": "long enough"}', '{"text": "x"}', '{"text": "y"}'),
    *('{"text": "z"}', "{}", '{"text": "a"}'),
)
TABLE = ("n,text", "1,a", '2,"two\nlines"', "3", "4,d,e", '5,"f"x', "", "6,a", '7,""', "8,long", "9,n", "10,o")


class Killed(BaseException):
    """What no code handles, as a process that is killed runs none."""


def silence(_: object) -> None:
    """Tell nobody."""


def run(source: Path, target: Path, options: Options = OPTIONS, part: Part = WHOLE, *, restart: bool = False) -> Count:
    job = open_job(Pair(source, target, part), options, "00" * 16, silence)
    try:
        return job.run(ByLength(), silence, restart=restart)
    finally:
        job.source.close()


@pytest.fixture(autouse=True)
def no_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine goes on here, whatever happens to a run: to wait for the disk would only take time."""
    monkeypatch.setattr(os, "fsync", silence)


def write(folder: Path, name: str, rows: Sequence[str]) -> Path:
    return compressed(folder / name, ("\n".join(rows) + "\n").encode())


def made(folder: Path) -> dict[str, bytes]:
    """The output and the list of refused rows; nothing else is left."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file() and "progress" not in path.name}


def die_at(fatal: int, patch: pytest.MonkeyPatch) -> None:
    """Let the process die before or after one of the steps that make sure of something."""
    steps = 0

    def wrap(call: Callable[..., object]) -> Callable[..., object]:
        def counted(*given: object) -> object:
            nonlocal steps
            steps += 1
            if steps == fatal and fatal % 2:
                raise Killed
            result = call(*given)
            if steps == fatal:
                raise Killed
            return result

        return counted

    for name in ("fsync", "replace"):
        patch.setattr(os, name, wrap(getattr(os, name)))


def tear(folder: Path, target: str) -> None:
    """Write behind what was made sure of, as a window that is being written does; a run that is done has none."""
    progress = folder / f"{target}.progress"
    if progress.exists() and b'"done": true' in progress.read_bytes():
        return
    for file in (folder / target, folder / f"{target}.errors.jsonl"):
        if file.exists():
            with file.open("ab") as torn:
                torn.write(b"what the last window had written")


@pytest.mark.parametrize("on_error", ["null", "skip"])
@pytest.mark.parametrize(
    ("name", "target"),
    [
        ("in.jsonl", "out.jsonl"),
        ("in.jsonl.gz", "out.jsonl.gz"),
        ("in.csv", "out.csv"),
        ("in.csv.zst", "out.jsonl.zst"),
        ("in.csv", "out.parquet"),
    ],
)
def test_it_dies_at_each_step_in_turn(
    tmp_path: Path, name: str, target: str, on_error: OnError, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = write(tmp_path, name, TABLE if "csv" in name else ROWS)
    options = replace(OPTIONS, on_error=on_error)
    whole = tmp_path / "whole"
    whole.mkdir()
    run(source, whole / target, options)
    for fatal in range(1, 200):
        folder = tmp_path / f"{fatal}"
        folder.mkdir()
        with monkeypatch.context() as patch:
            die_at(fatal, patch)
            try:
                run(source, folder / target, options)
            except Killed:
                pass
            else:
                break
        tear(folder, target)
        run(source, folder / target, options)
        assert made(folder) == made(whole), f"it died at step {fatal}"
    else:
        pytest.fail("it never came to its end")
    assert fatal > 10


def test_what_is_done_is_not_done_again(tmp_path: Path) -> None:
    source, target = write(tmp_path, "in.jsonl", ROWS), tmp_path / "out.jsonl"
    first = run(source, target)
    before = target.stat().st_mtime_ns
    assert run(source, target) == first
    assert target.stat().st_mtime_ns == before
    assert first.rows == 18
    assert first.refused == len(lines(tmp_path / "out.jsonl.errors.jsonl")) == 5
    assert run(source, target, restart=True) == first


def test_another_run_does_not_continue_it(tmp_path: Path) -> None:
    source, target = write(tmp_path, "in.jsonl", ROWS), tmp_path / "out.jsonl"
    run(source, target)
    with pytest.raises(OfflineError, match="--top 1 instead of nothing"):
        run(source, target, replace(OPTIONS, shape=replace(OPTIONS.shape, top=None)))
    with pytest.raises(OfflineError, match="--window 4 instead of 5"):
        run(source, target, replace(OPTIONS, window=5))
    write(tmp_path, "in.jsonl", ROWS[:4])
    with pytest.raises(OfflineError, match="an input that has changed since; --restart begins anew"):
        run(source, target)
    assert run(source, target, restart=True).rows == 4
    assert len(target.read_bytes().splitlines()) == 4


def test_a_strangers_file_is_not_overwritten(tmp_path: Path) -> None:
    source, target = write(tmp_path, "in.jsonl", ROWS), tmp_path / "out.jsonl"
    target.write_text("mine", encoding="ascii")
    with pytest.raises(OfflineError, match="no run that could be continued has written it"):
        run(source, target)
    assert target.read_text(encoding="ascii") == "mine"
    (tmp_path / "out.jsonl.progress").write_text("{", encoding="ascii")
    with pytest.raises(OfflineError, match="is not what a run writes"):
        run(source, target)


def test_an_output_that_was_cut_by_somebody_else_is_not_continued(tmp_path: Path) -> None:
    source, target = write(tmp_path, "in.jsonl", ROWS), tmp_path / "out.jsonl"
    with pytest.raises(OfflineError, match="line 3"):
        run(source, target, replace(OPTIONS, on_error="fail", window=2))
    assert len(target.read_bytes().splitlines()) == 2
    target.write_bytes(b"")
    with pytest.raises(OfflineError, match="has 0 bytes, and an earlier run wrote"):
        run(source, target, replace(OPTIONS, on_error="fail", window=2))


def test_two_runs_do_not_write_the_same_file(tmp_path: Path) -> None:
    source, target = write(tmp_path, "in.jsonl", ROWS), tmp_path / "out.jsonl"
    job = open_job(Pair(source, target, WHOLE), OPTIONS, "00" * 16, silence)

    class Nested(ByLength):
        def answer(self, texts: Sequence[str]) -> list[Answered]:
            with pytest.raises(OfflineError, match="another process is writing"):
                run(source, target)
            return super().answer(texts)

    assert job.run(Nested(), silence, restart=False).rows == 18
    job.source.close()


def test_an_input_that_grows_while_it_is_read_is_told(tmp_path: Path) -> None:
    source, target = write(tmp_path, "in.jsonl", ROWS), tmp_path / "out.jsonl"
    job = open_job(Pair(source, target, WHOLE), OPTIONS, "00" * 16, silence)

    def grow(count: Count) -> None:
        if count.rows == 4:
            with source.open("a", encoding="ascii") as file:
                file.write('{"text": "more"}\n')

    with pytest.raises(OfflineError, match="was changed while it was read"):
        job.run(ByLength(), grow, restart=False)
    job.source.close()


@pytest.mark.parametrize("count", [1, 2, 3, 7, 40])
@pytest.mark.parametrize("name", ["in.jsonl", "in.jsonl.gz", "in.csv", "in.csv.zst", "in.txt"])
def test_the_parts_make_the_whole(tmp_path: Path, name: str, count: int) -> None:
    source = write(tmp_path, name, TABLE if "csv" in name else ROWS)
    ending = name.removeprefix("in").removesuffix(".gz").removesuffix(".zst")
    run(source, tmp_path / f"whole{ending}")
    parts = [Part(index, count) for index in range(count)]
    outputs = [part.name(tmp_path / f"part{ending}") for part in parts]
    assert len(set(outputs)) == count
    counts = [run(source, output, part=part) for part, output in zip(parts, outputs, strict=True)]
    assert b"".join(path.read_bytes() for path in outputs) == (tmp_path / f"whole{ending}").read_bytes()
    assert sum(one.rows for one in counts) == run(source, tmp_path / f"whole{ending}").rows
