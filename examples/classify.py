"""Classifies two sentences with the small model that ships with the source."""

from mlapi import Classifier

with Classifier.open("models/tfidf-logreg-sst2") as classifier:
    for prediction in classifier.predict(["What a wonderful film!", "A dull and tedious waste of time."]):
        print(prediction.label, f"{max(prediction.scores):.3f}")
