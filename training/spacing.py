"""Takes out of texts the spaces that a treebank's tokeniser put in, because people write without them."""

from collections.abc import Sequence

import numpy as np
from transformers import PreTrainedTokenizerBase


def closed_up(texts: Sequence[str], share: float, seed: int) -> list[str]:
    """Return the texts, of which some have `won't` for `wo n't` and `it.` for `it .`.

    Args:
        texts: as they are in the data set.
        share: of the texts that lose such spaces, rounded to a whole number of them.
        seed: of the draw that says which ones do.
    """
    chosen = np.random.default_rng(seed).permutation(len(texts))[: round(share * len(texts))].tolist()
    close_up = PreTrainedTokenizerBase().clean_up_tokenization
    kept = list(texts)
    for place in chosen:
        kept[place] = close_up(kept[place])
    return kept
