"""The public face for Python: a model to ask from a notebook or a job, without a server and without an event loop."""

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

from mlapi.batching.buckets import padded_length
from mlapi.engines.scorer import Scorer
from mlapi.model import Model, load
from mlapi.postprocessing import Postprocessor
from mlapi.predictions import EncodedText, Prediction


@dataclass(frozen=True, slots=True)
class Classification:
    """What the model says of one text.

    Attributes:
        label: the label with the highest score.
        scores: probabilities in the order of `Classifier.labels`, each a float32 value.
        logits: what they were made of, in the same order.
        tokens: how many tokens the model read.
        truncated: whether the text was cut to the model's maximum.
        unknown: which share of its tokens, or of its words, the model's vocabulary lacks; None where it cannot say.
    """

    label: str
    scores: tuple[float, ...]
    logits: tuple[float, ...]
    tokens: int
    truncated: bool
    unknown: float | None = None


class Classifier:
    """One loaded model; to be closed, or used as a context manager.

    Its answers have the bits of the service's. It caches nothing, and is not to be used by two threads at a time.

    Attributes:
        name: of the model.
        labels: of the model, in its order.
        digest: the model digest.
        cache: the cache tiers that the bundle asks for, for those who keep answers.
        postprocessor: makes scores of logits.
        canonical_forms: returns what of each text the model can tell from other texts; empty if it can read nothing.
    """

    def __init__(self, model: Model) -> None:
        manifest = model.manifest
        self.name = manifest.name
        self.labels = manifest.labels
        self.digest = model.digest
        self.cache = manifest.cache
        self.postprocessor = Postprocessor(manifest.labels, manifest.activation)
        self.canonical_forms = model.tokenizer.canonical_forms
        self._tokenizer = model.tokenizer
        self._executor = model.executor
        self._streams = ThreadPoolExecutor(model.streams, thread_name_prefix="batches") if model.streams > 1 else None
        self._scorer = Scorer(
            model.executor.score,
            bucket=partial(padded_length, max_tokens=manifest.max_tokens),
            max_batch_tokens=max(1, min(model.batch_tokens, model.warm_up.together_tokens)),
            run=self._streams.map if self._streams else map,
        )

    @classmethod
    def open(cls, bundle: str | Path, *, engine: str = "", threads: int = 0) -> Self:
        """Load a bundle: verify its files, load its engine, warm it up.

        Args:
            bundle: the bundle's folder.
            engine: which engine to use; empty: the one that the bundle was made for.
            threads: threads for inference; 0: the processors that this process may use.

        Raises:
            ConfigurationError: there is no such engine, or its library is not installed.
            BundleError: no bundle there, one that was changed, or one that this machine cannot run.
        """
        return cls(load(Path(bundle), engine=engine, threads=threads, clock=time.monotonic))

    def predict(self, texts: str | Sequence[str]) -> list[Classification]:
        """Return one classification a text, in order.

        Raises:
            ValueError: a text with nothing in it to read, which the service refuses as well.
            EngineError: the engine failed.
        """
        texts = [texts] if isinstance(texts, str) else texts
        for place, form in enumerate(self.canonical_forms(texts)):
            if not form:
                msg = f"text {place} holds nothing that the model can read"
                raise ValueError(msg)
        return [
            Classification(
                item.label,
                self.postprocessor.scores(item.logits),
                item.logits,
                item.tokens,
                item.truncated,
                text.unknown,
            )
            for text, item in self._compute(texts)
        ]

    def compute(self, texts: Sequence[str]) -> list[Prediction]:
        """Return the predictions of texts that the model can read, in the form that caches keep.

        Raises:
            EngineError: the engine failed.
        """
        return [prediction for _, prediction in self._compute(texts)]

    def close(self) -> None:
        """Release the model."""
        if self._streams is not None:
            self._streams.shutdown(cancel_futures=True)
        self._executor.close()

    def _compute(self, texts: Sequence[str]) -> list[tuple[EncodedText, Prediction]]:
        encoded = self._tokenizer.encode(texts)
        return [
            (text, self.postprocessor.prediction(logits, tokens=len(text.ids), truncated=text.truncated))
            for text, logits in zip(encoded, self._scorer.logits(encoded), strict=True)
        ]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
