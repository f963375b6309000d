"""Tiny tokenizers of the three kinds that checkpoints bring, for tests that write checkpoints."""

import json
from pathlib import Path
from typing import Final, NamedTuple

from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

SPECIAL: Final = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
WORDS: Final = ("the", "film", "is", "was", "good", "bad", "not", "very", "fine", "dull", "and", "but", *"!.,'")
LETTERS: Final = tuple("abcdefghijklmnopqrstuvwxyz0123456789")
VOCABULARY: Final = (*SPECIAL, *WORDS, *LETTERS, *(f"##{letter}" for letter in LETTERS))

SENTENCES: Final = (
    "the film is good",
    "the film was not very good, but fine!",
    "dull and bad",
    "good",
    "it 's a charming and often affecting journey .",
    "unflinchingly bleak and desperate",
    "not bad at all, and not dull, and not long, but not very good: the film is fine.",
)

_SEEN: Final = (*SENTENCES, " ".join(WORDS), "".join(LETTERS), "plain words that nobody wrote before, 0123456789")


class Tokens(NamedTuple):
    """How many tokens a tokenizer knows, and which of them pads."""

    size: int
    pad_id: int


def write_word_pieces(folder: Path, max_tokens: int) -> Tokens:
    """Write an uncased WordPiece tokenizer, as BERT's, as `tokenizer.json` and `tokenizer_config.json`."""
    ids = {token: index for index, token in enumerate(VOCABULARY)}
    tokenizer = Tokenizer(models.WordPiece(ids, unk_token="[UNK]", max_input_chars_per_word=100))  # noqa: S106
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", ids["[CLS]"]), ("[SEP]", ids["[SEP]"])]
    )
    tokenizer.add_special_tokens(list(SPECIAL))
    return _write(tokenizer, folder, max_tokens, ("[CLS]", "[PAD]", "[SEP]", "[UNK]", "[MASK]"))


def write_byte_pairs(folder: Path, max_tokens: int) -> Tokens:
    """Write a tokenizer of pairs of bytes, as RoBERTa's."""
    special = ("<s>", "<pad>", "</s>", "<unk>", "<mask>")
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.train_from_iterator(
        _SEEN,
        trainers.BpeTrainer(
            vocab_size=320,
            special_tokens=list(special),
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
    return _write(tokenizer, folder, max_tokens, special)


def write_unigrams(folder: Path, max_tokens: int) -> Tokens:
    """Write a tokenizer of unigrams, as those that are converted from SentencePiece."""
    special = ("[CLS]", "[PAD]", "[SEP]", "[UNK]", "[MASK]")
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.train_from_iterator(
        _SEEN,
        trainers.UnigramTrainer(
            vocab_size=120,
            special_tokens=list(special),
            unk_token="[UNK]",  # noqa: S106  a word of the vocabulary
            show_progress=False,
        ),
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 0), ("[SEP]", 2)]
    )
    return _write(tokenizer, folder, max_tokens, special)


def _write(tokenizer: Tokenizer, folder: Path, max_tokens: int, special: tuple[str, str, str, str, str]) -> Tokens:
    """Write both files.

    Args:
        tokenizer: whole.
        folder: where to.
        max_tokens: tokens that it takes.
        special: what opens a text, pads it, ends it, stands for the unknown, and is masked.
    """
    tokenizer.save(str(folder / "tokenizer.json"))
    opens, pads, ends, unknown, masked = special
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": max_tokens,
        "pad_token": pads,
        "unk_token": unknown,
        "cls_token": opens,
        "sep_token": ends,
        "mask_token": masked,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    return Tokens(tokenizer.get_vocab_size(), tokenizer.get_vocab()[pads])
