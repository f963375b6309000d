"""Writes the lines of standard input, the most positive one first."""

import sys

from mlapi import Classifier

lines = [line.strip() for line in sys.stdin if line.strip()]
with Classifier.open("models/distilbert-minilm-sst2") as classifier:
    scored = zip(classifier.predict(lines), lines, strict=True)
    print(*(line for _, line in sorted(scored, key=lambda pair: pair[0].scores[0])), sep="\n")
