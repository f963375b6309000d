"""Classifies the texts of a file with Spark: each task opens the model once, and answers its partition batch by batch.

    tools/bulk_engines.sh spark
    export PYTHONPATH=. PYSPARK_PYTHON=.tools/spark/bin/python
    .tools/spark/bin/python examples/spark.py INPUT OUTPUT

INPUT has an object with "id" and "text" a line; OUTPUT becomes a folder of files with "id", "label" and "score".
"""

import sys
from collections.abc import Iterable, Iterator

import pandas as pd
from pyspark.sql import SparkSession

from mlapi import Classifier

MODEL = "models/tfidf-logreg-sst2"


def classify(frames: Iterable[pd.DataFrame]) -> Iterator[pd.DataFrame]:
    """Answer the batches of one partition. Spark has a process a core, so each model gets one thread."""
    with Classifier.open(MODEL, threads=1) as classifier:
        for frame in frames:
            predictions = classifier.predict(frame["text"].to_list())
            labels = [prediction.label for prediction in predictions]
            scores = [max(prediction.scores) for prediction in predictions]
            yield pd.DataFrame({"id": frame["id"], "label": labels, "score": scores})


if __name__ == "__main__":
    source, target = sys.argv[1:]
    spark = SparkSession.builder.appName("mlapi").getOrCreate()
    rows = spark.read.schema("id long, text string").json(source)
    # The model refuses what holds no text.
    answered = rows.where(r"text rlike '\\S'").mapInPandas(classify, "id long, label string, score double")
    answered.write.json(target)
    print(spark.read.json(target).count(), "texts are classified")
    spark.stop()
