"""Decides how long a text is padded, from that text alone."""

from typing import Final

STEP: Final = 8
"""The finest step between two padded lengths, in tokens, and so the shortest padded length."""


def padded_length(tokens: int, max_tokens: int | None) -> int:
    """Return the length to which a text of so many tokens is padded.

    Lengths are multiples of 8 up to 128 tokens; from there on the step doubles with each doubling of the length: 16 up
    to 256, 32 up to 512. The padding is therefore at most 7 tokens, or less than a ninth of the padded length. The last
    length is `max_tokens` itself, whatever its divisors, because a model has no positions beyond it. None is no bound.

    Raises:
        ValueError: no tokens, or more than `max_tokens`.
    """
    if tokens < 1 or (max_tokens is not None and tokens > max_tokens):
        msg = f"{tokens} tokens, not between 1 and {max_tokens}"
        raise ValueError(msg)
    # An octave (65 to 128, 129 to 256, ...) has eight steps.
    step = max(STEP, 1 << max(0, tokens.bit_length() - 4))
    padded = -(-tokens // step) * step
    return padded if max_tokens is None else min(padded, max_tokens)


def bucket_lengths(max_tokens: int) -> tuple[int, ...]:
    """Return every padded length that there is, rising: what a warm-up has to run.

    Raises:
        ValueError: `max_tokens` is below 1.
    """
    lengths = [padded_length(1, max_tokens)]
    while lengths[-1] < max_tokens:
        lengths.append(padded_length(lengths[-1] + 1, max_tokens))
    return tuple(lengths)
