"""What is read from each format, what is refused, and what is written."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mlapi.offline.answer_shape import AnswerShape
from mlapi.offline.base import OfflineError, UsageError
from mlapi.offline.job import Count, OnError
from mlapi.offline.opening import Options, Pair, open_job, pairs
from mlapi.offline.shards import WHOLE, Part
from tests.offline_runs import OPTIONS, ByLength, compressed, content, lines


def run(source: Path, target: Path, options: Options = OPTIONS) -> Count:
    job = open_job(Pair(source, target, WHOLE), options, "00" * 16, lambda _: None)
    try:
        return job.run(ByLength(), lambda _: None, restart=False)
    finally:
        job.source.close()


def refused(target: Path) -> list[tuple[object, object]]:
    return [(entry["line"], entry["code"]) for entry in lines(target.with_name(f"{target.name}.errors.jsonl"))]


def test_json_keeps_what_it_does_not_understand(tmp_path: Path) -> None:
    source = compressed(
        tmp_path / "in.jsonl",
        b'\xef\xbb\xbf{"n": 1.0, "big": 123456789012345678901, "text": "a\\u00e9", "x": {"y": [1, null]}}\r\n\n'
        b'{"text": "a"}\n[1]\n{"text": null}\n{"text": "\xff"}\n{"text": "\\ud800"}\n{"text": "last"}',
    )
    count = run(source, tmp_path / "out.jsonl", replace(OPTIONS, on_error="skip"))
    assert content(tmp_path / "out.jsonl").splitlines()[0] == (
        b'{"n":1.0,"big":123456789012345678901,"text":"a\\u00e9","x":{"y": [1, null]},"label":"LONG","score":'
        b"0.6666666666666667}"
    )
    assert (count.rows, count.refused) == (7, 4)
    codes = [(4, "invalid_json"), (5, "no_text"), (6, "invalid_encoding"), (7, "invalid_json")]
    assert refused(tmp_path / "out.jsonl") == codes
    assert [line["text"] for line in lines(tmp_path / "out.jsonl")] == ["aé", "a", "last"]


def test_csv_as_spreadsheets_write_it(tmp_path: Path) -> None:
    source = compressed(
        tmp_path / "in.csv.gz",
        '\ufeffid,text\r\n1,"two\r\nlines, and ""quotes"""\r\n2,\r\n\r\n3,ab\r\n4\r\n5,"a"b\r\n'.encode()
        + b"6,\xe9\r\n7,last",
    )
    count = run(source, tmp_path / "out.csv.zst", replace(OPTIONS, id_field="id", on_error="skip"))
    assert content(tmp_path / "out.csv.zst").decode() == (
        'id,text,label,score\n1,"two\r\nlines, and ""quotes""",LONG,0.96\n'
        "3,ab,LONG,0.6666666666666667\n7,last,LONG,0.8\n"
    )
    assert (count.rows, count.refused) == (7, 4)
    codes = [(4, "empty_text"), (7, "wrong_columns"), (8, "invalid_csv"), (9, "invalid_encoding")]
    assert refused(tmp_path / "out.csv.zst") == codes
    assert lines(tmp_path / "out.csv.zst.errors.jsonl")[0]["id"] == "2"


def test_tsv_has_no_quotes(tmp_path: Path) -> None:
    source = compressed(tmp_path / "in.tsv", b'label\ttext\n1\t"open\n0\tback\\slash "q"\n')
    run(source, tmp_path / "out.tsv", replace(OPTIONS, shape=AnswerShape(prefix="p_")))
    assert content(tmp_path / "out.tsv") == (
        b'label\ttext\tp_label\tp_score\n1\t"open\tLONG\t0.8333333333333334\n'
        b'0\tback\\slash "q"\tLONG\t0.9333333333333333\n'
    )
    quoted = compressed(tmp_path / "in.csv", b'text\n"a\tb"\nc\n')
    assert run(quoted, tmp_path / "quoted.tsv", replace(OPTIONS, on_error="skip")).refused == 1
    assert refused(tmp_path / "quoted.tsv") == [(2, "unwritable")]


def test_plain_text_has_a_row_a_line(tmp_path: Path) -> None:
    source = compressed(tmp_path / "in.txt", b"one\n\n two \nlast")
    assert run(source, tmp_path / "out.txt").refused == 1
    assert content(tmp_path / "out.txt") == b"LONG\n\nLONG\nLONG\n"
    run(source, tmp_path / "out.jsonl")
    assert [line["text"] for line in lines(tmp_path / "out.jsonl")] == ["one", "", " two ", "last"]


def test_parquet_keeps_its_types(tmp_path: Path) -> None:
    schema = pa.schema([("at", pa.timestamp("ns")), ("text", pa.large_string()), ("tags", pa.list_(pa.int8()))])
    texts = ["a", "bb", None, "", "a", "ccc", "d", "e", "f", "g", "h"]
    table = pa.table({"at": range(1, 12), "text": texts, "tags": [[n] for n in range(11)]}, schema=schema)
    pq.write_table(table, tmp_path / "in.parquet", row_group_size=3)
    for on_error in ("null", "skip"):
        target = tmp_path / f"{on_error}.parquet"
        run(tmp_path / "in.parquet", target, replace(OPTIONS, on_error=on_error, shape=AnswerShape(None)))
        found = pq.read_table(target)
        assert found.schema.names == ["at", "text", "tags", "predictions"]
        wanted = [place for place, text in enumerate(texts) if on_error == "null" or text]
        assert found.select(schema.names).combine_chunks() == table.take(wanted).combine_chunks()
        assert {
            row["predictions"][0]["label"] for row in found.select(["text", "predictions"]).to_pylist() if row["text"]
        } == {"SHORT", "LONG"}
        assert not (tmp_path / f"{on_error}.parquet.parts").exists()
    run(tmp_path / "in.parquet", tmp_path / "out.jsonl", replace(OPTIONS, keep=("tags",)))
    assert lines(tmp_path / "out.jsonl")[0] == {"tags": [0], "label": "SHORT", "score": 0.5}


@pytest.mark.parametrize("target", ["out.jsonl", "out.jsonl.gz", "out.csv.zst", "out.parquet"])
def test_an_input_without_rows_gives_a_file_without_rows(tmp_path: Path, target: str) -> None:
    assert run(compressed(tmp_path / "in.csv", b"text\n"), tmp_path / target).rows == 0
    if target.endswith("parquet"):
        assert pq.read_table(tmp_path / target).num_rows == 0
    else:
        assert content(tmp_path / target) == (b"" if "jsonl" in target else b"text,label,score\n")


@pytest.mark.parametrize(
    ("top", "threshold", "expected"),
    [
        (None, None, [["LONG", 0.75], ["SHORT", 0.25]]),
        (2, 0.5, [["LONG", 0.75]]),
        (1, 0.5, [["LONG", 0.75]]),
        (None, 0.9, []),
    ],
)
def test_lists_of_labels(tmp_path: Path, top: int | None, threshold: float | None, expected: list[object]) -> None:
    source = compressed(tmp_path / "in.jsonl", b'{"text": "abc"}\n{"text": ""}\n')
    options = replace(OPTIONS, shape=AnswerShape(top, threshold), keep=())
    run(source, tmp_path / "out.jsonl", options)
    first, second = lines(tmp_path / "out.jsonl")
    assert [[item["label"], item["score"]] for item in json.loads(json.dumps(first["predictions"]))] == expected
    assert second == {"predictions": None}
    run(source, tmp_path / "out.csv", options)
    assert content(tmp_path / "out.csv").splitlines()[0] == b"predictions"


@pytest.mark.parametrize("on_error", ["null", "skip"])
def test_a_row_longer_than_memory_allows_is_refused(
    tmp_path: Path, on_error: OnError, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mlapi.offline.text_rows.MAX_ROW_BYTES", 64)
    long = b'{"text": "' + b"x" * 500 + b'"}\n'
    source = compressed(tmp_path / "in.jsonl", b'{"text": "a"}\n' + long + b'{"text": "b"}\n')
    assert run(source, tmp_path / "out.jsonl", replace(OPTIONS, on_error=on_error)).refused == 1
    assert refused(tmp_path / "out.jsonl") == [(2, "row_too_long")]
    assert len(lines(tmp_path / "out.jsonl")) == (3 if on_error == "null" else 2)
    unclosed = compressed(tmp_path / "in.csv", b'text\na\n"b\n' + b"c\n" * 100)
    with pytest.raises(OfflineError, match="begins in line 3 has more than 64 bytes: is there a quote"):
        run(unclosed, tmp_path / "out.csv")


USAGE: Sequence[tuple[str, bytes, str, Options, str]] = [
    ("in.csv", b"", "out.csv", OPTIONS, "has no header"),
    ("in.csv", b"text,text\n", "out.csv", OPTIONS, "two columns of one name"),
    ("in.csv", b"body\n", "out.csv", OPTIONS, "no column text; --text-field names one of: body"),
    ("in.csv", b"text,label\n", "out.csv", OPTIONS, "has a column label itself: leave it out with --keep"),
    ("in.csv", b"text\n", "out.csv", replace(OPTIONS, keep=("id",)), "there is no column id"),
    ("in.csv", b"text\n", "out.csv", replace(OPTIONS, id_field="id"), "there is no column id"),
    ("in.jsonl", b'{"text": "a", "label": 1}\n', "out.jsonl", OPTIONS, "has a column label itself"),
    ("in.jsonl", b"", "out.csv", OPTIONS, "name them with --keep"),
    ("in.jsonl", b"", "out.parquet", OPTIONS, "do not say which types"),
    ("in.jsonl", b"", "out.txt", replace(OPTIONS, shape=AnswerShape(None)), "plain text has a label a line"),
    ("in.jsonl", b"", "out.xml", OPTIONS, "the name of .* does not say what to write"),
    ("in.xml", b"", "out.jsonl", OPTIONS, "the name of .* does not say what it holds"),
    ("in.jsonl", b"", "in.jsonl", OPTIONS, "is the input as well"),
    ("in.jsonl", b"", "gone/out.jsonl", OPTIONS, "there is no folder"),
    ("in.parquet", b"no", "out.jsonl", OPTIONS, "is not a Parquet file"),
]


@pytest.mark.parametrize("case", USAGE, ids=[case[-1] for case in USAGE])
def test_what_makes_no_sense_is_refused(tmp_path: Path, case: tuple[str, bytes, str, Options, str]) -> None:
    name, data, target, options, said = case
    with pytest.raises(UsageError, match=said):
        run(compressed(tmp_path / name, data), tmp_path / target, options)


def test_a_folder_is_read_file_by_file(tmp_path: Path) -> None:
    folder, target = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    for name in ("b.jsonl", "a.csv.gz", "c.txt", "notes.md", ".hidden.txt"):
        compressed(folder / name, b"text\n")
    said: list[str] = []
    found = pairs(folder, target, WHOLE, OPTIONS, said.append)
    assert [(pair.source.name, pair.target.name) for pair in found] == [
        ("a.csv.gz", "a.csv.gz"),
        ("b.jsonl", "b.jsonl"),
        ("c.txt", "c.txt"),
    ]
    assert len(said) == 1
    assert "notes.md is left out" in said[0]
    shards = [pairs(folder, target, Part(index, 2), OPTIONS, said.append) for index in range(2)]
    assert sorted(pair for shard in shards for pair in shard) == sorted(found)
    renamed = pairs(folder, target, WHOLE, replace(OPTIONS, output_format="parquet"), said.append)
    assert [pair.target.name for pair in renamed] == ["a.parquet", "b.parquet", "c.parquet"]
    for source, output in ((folder, folder), (folder, Path("-")), (tmp_path / "gone", target), (target, folder)):
        with pytest.raises(UsageError):
            pairs(source, output, WHOLE, OPTIONS, said.append)


@pytest.mark.parametrize("names", [("a.csv", "a.tsv"), ("a.csv", "a.jsonl"), ("a.ndjson", "a.csv", "b.csv")])
def test_two_files_of_a_folder_have_two_outputs(tmp_path: Path, names: Sequence[str]) -> None:
    for name in names:
        (tmp_path / name).write_text("text\n", encoding="utf-8")
    options = replace(OPTIONS, output_format="parquet")
    for part in (WHOLE, Part(0, 2), Part(1, 2)):
        with pytest.raises(UsageError, match=r"would have one name, a\.parquet: rename one of them"):
            pairs(tmp_path, tmp_path / "out", part, options, lambda _: None)
    assert not (tmp_path / "out").exists()
    assert len(pairs(tmp_path, tmp_path / "out", WHOLE, OPTIONS, lambda _: None)) == len(names)


@pytest.mark.parametrize("text", ["", "1", "4/4", "-1/4", "1/0", "a/b", "1/4/2", " 1/2"])
def test_a_shard_that_is_none(text: str) -> None:
    with pytest.raises(UsageError, match="is not like 0/4"):
        Part.parse(text)
