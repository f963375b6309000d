"""The example for Spark, run on a local Spark, writes what `Classifier` says."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from mlapi import Classifier
from mlapi.settings import LAB_BUNDLE
from tests.programs import find_bulk_engine, find_program

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.long
@pytest.mark.timeout(300)
def test_spark_writes_what_the_classifier_says(tmp_path: Path) -> None:
    python = find_bulk_engine("spark")
    find_program("java", "tools/clients.sh")
    texts = [f"a {word} film {number}" for number in range(500) for word in ("warm", "tedious")]
    rows = [*enumerate(texts), (-1, ""), (-2, None), (-3, " \t")]
    source = tmp_path / "in.jsonl"
    source.write_text("".join(json.dumps({"id": row, "text": text}) + "\n" for row, text in rows))
    subprocess.run(
        [python, "examples/spark.py", source, tmp_path / "out"],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": ".", "PYSPARK_PYTHON": python, "SPARK_LOCAL_IP": "127.0.0.1"},
        check=True,
    )
    found = [json.loads(line) for path in (tmp_path / "out").glob("part-*") for line in path.read_text().splitlines()]
    with Classifier.open(LAB_BUNDLE) as classifier:
        expected = {n: (one.label, max(one.scores)) for n, one in enumerate(classifier.predict(texts))}
    assert {row["id"]: (row["label"], row["score"]) for row in found} == expected
    assert len(found) == len(texts)
