"""Runs a checkpoint as `transformers` does by itself, and compares with that what a bundle makes of texts."""

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer, pipeline
from transformers.utils import logging as transformers_logging

from mlapi.bundling.parity import Runner
from mlapi.errors import BundleError
from mlapi.tokenizing.tokenizer import HfTokenizer

TOLERANCE: Final = 1e-4
"""How far a score of the bundle may be from the pipeline's when both compute in fp32."""

_SEED: Final = 7
_SHOWN_CHARS: Final = 60
_LENGTHS: Final = (1, 2, 3, 5, 8, 13, 30, 60)
_PROBES: Final = (
    "A fine film, isn't it?",
    "a fine film , is n't it ?",
    "NOT GOOD AT ALL!!! 0/10 ... 12,345.67 %",
    "  two  spaces,\ta tab,\nand a new line \n",
    "Ünïcödé: a naïve café, Straße, ﬁn, Å, İstanbul",
    "cafe\u0301 and A\u030angstro\u0308m, in pieces",
    "日本語のテキスト と 한국어 и русский",
    "🙂 👍🏽 👩\u200d💻",
    "zero\u200bwidth, soft\u00adhyphen, no\u00a0break, line\u2028end",
    "a bell\x07, a delete\x7f, a nul\0, a separator\x1c",
    "someone@example.org #tag https://example.org/a?b=c&d=1",
)


class Original:
    """A checkpoint behind the text classification pipeline of `transformers`, configured by the checkpoint's own files.

    Two things are not left to the checkpoint: weights are widened to fp32, because a processor computes in 16 bits
    slowly and with errors that would hide others; and a text is cut at `max_tokens` where the tokenizer alone would
    let it run beyond the positions that the model has.
    """

    def __init__(self, folder: Path, *, labels: Sequence[str], max_tokens: int) -> None:
        """Load a checkpoint; code shipped with it is never run.

        Args:
            folder: with its configuration, weights and tokenizer.
            labels: the order in which `scores` are wanted.
            max_tokens: how many tokens the model reads at most.

        Raises:
            BundleError: the pipeline cannot load it.
        """
        self._labels = labels
        try:
            with _without_progress_bars():
                here = {"trust_remote_code": False, "local_files_only": True}
                model = AutoModelForSequenceClassification.from_pretrained(
                    folder, dtype=torch.float32, use_safetensors=True, **here
                )
                self.tokenizer: Any = AutoTokenizer.from_pretrained(folder, **here)
                self._classify: Any = pipeline(
                    "text-classification", model=model, tokenizer=self.tokenizer, device="cpu"
                )
        except Exception as error:  # whatever one of very many classes provokes
            msg = f"the pipeline of transformers cannot load this checkpoint: {_first_line(error)}"
            raise BundleError(msg) from error
        beyond = self.tokenizer.model_max_length > max_tokens
        self._cut = {"truncation": True} | ({"max_length": max_tokens} if beyond else {})

    def token_ids(self, text: str) -> tuple[int, ...]:
        """Tokenise a text, cut as the pipeline cuts it."""
        return tuple(self.tokenizer(text, **self._cut)["input_ids"])

    def scores_of(self, texts: Sequence[str], threads: int) -> list[tuple[float, ...]]:
        """Score texts one by one; sets PyTorch's number of threads for the process.

        Raises:
            BundleError: the model fails.
        """
        torch.set_num_threads(threads)
        return [self.scores(text) for text in texts]

    def scores(self, text: str) -> tuple[float, ...]:
        """Score one text alone, without padding; one score a label.

        Raises:
            BundleError: the model fails.
        """
        try:
            found = {each["label"]: each["score"] for each in self._classify(text, top_k=None, **self._cut)}
            return tuple(found[label] for label in self._labels)
        except Exception as error:  # as above
            msg = f"the pipeline of transformers fails on a text of {len(self.token_ids(text))} tokens: "
            raise BundleError(msg + _first_line(error)) from error


def probing_texts(original: Original, max_tokens: int) -> list[str]:
    """Make texts that show settings: case, accents, white space, special tokens, and lengths up to beyond the limit.

    Those over the limit come in pairs that differ at one end only, since a text may be cut at either.
    """
    source = random.Random(_SEED)  # noqa: S311  reproducible, not secret
    words = _words(original.tokenizer)
    lengths = [*(length for length in _LENGTHS if length < max_tokens), max_tokens]
    texts = [" ".join(source.choices(words, k=length)) for length in lengths]
    special = dict.fromkeys((*original.tokenizer.all_special_tokens, *original.tokenizer.get_added_vocab()))
    spelled = [f"a {token} b{token}c" for token in list(special)[:16]]
    middle = " ".join(source.choices(words, k=2 * max_tokens))
    one, other = (" ".join(source.choices(words, k=max(1, max_tokens // 2))) for _ in range(2))
    long = [f"{one} {middle} {other}", f"{other} {middle} {other}", f"{one} {middle} {one}"]
    return [*_PROBES, *spelled, *texts, *long]


def compare_reading(original: Original, tokenizer: HfTokenizer, runner: Runner, texts: Sequence[str]) -> None:
    """Compare what a bundle makes of texts, padding included, with what `transformers` makes of them.

    Args:
        original: the checkpoint.
        tokenizer: the bundle's tokenizer.
        runner: the bundle's labels, activation and padding, over an engine that computes in fp32.
        texts: what to compare.

    Raises:
        BundleError: a text has other tokens or other scores.
    """
    for text in texts:
        (encoded,) = tokenizer.encode([text])
        expected = original.token_ids(text)
        if encoded.ids != expected:
            counts = f"{len(encoded.ids)} tokens against {len(expected)}"
            msg = f"the bundle's tokenizer and the checkpoint's do not read {_shown(text)} alike: {counts}"
            raise BundleError(msg)
        if not tokenizer.normalise(text):
            continue  # the service answers it without the model
        own = original.scores(text)
        lengths = f"{len(encoded.ids)} tokens padded to {runner.padded_length(len(encoded.ids))}"
        try:
            scores = runner.scores(encoded)
        except Exception as error:  # whatever one of very many architectures provokes
            msg = f"the model fails on {_shown(text)}, {lengths}: {_first_line(error)}"
            raise BundleError(msg) from error
        difference = max(abs(score - other) for score, other in zip(scores, own, strict=True))
        if not difference <= TOLERANCE:  # not the same as >, which lets NaN pass
            msg = (
                f"the bundle's scores of {_shown(text)}, {lengths}, differ by {difference:.2g} from those of the "
                "pipeline of transformers"
            )
            raise BundleError(msg)


def _words(tokenizer: Any) -> list[str]:  # noqa: ANN401  a tokenizer of any kind
    """Take some of what a tokenizer's vocabulary spells."""
    ids = range(len(tokenizer))
    some = random.Random(_SEED).sample(ids, min(2000, len(ids)))  # noqa: S311  reproducible, not secret
    spelled = (tokenizer.decode([index], skip_special_tokens=True).strip() for index in some)
    return [word for word in spelled if word.isalpha()] or ["a"]


def _shown(text: str) -> str:
    return repr(text if len(text) <= _SHOWN_CHARS else f"{text[:_SHOWN_CHARS]}...")


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"


@contextmanager
def _without_progress_bars() -> Iterator[None]:
    shown = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            transformers_logging.enable_progress_bar()
