"""Instructions as token ids, through a Hugging Face `tokenizers` file that goes into the bundle as it is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
from torch import Tensor

from simulation.categories import CATEGORIES
from simulation.instructions import GOTO_VERBS, with_article
from training.config import TextConfig
from training.errors import ConfigError

UNKNOWN = "[UNK]"
SPARE_WORDS = 64
"""Rows kept free for the words of tasks to come, so that their instructions need no new table size."""


def instructions() -> tuple[str, ...]:
    """Every instruction of ObjectNav: each verb with each category."""
    return tuple(f"{verb} {with_article(name)}" for verb in GOTO_VERBS for name in CATEGORIES)


def word_tokenizer() -> Tokenizer:
    """One token per word of the instructions, lower case; an unknown word is `[UNK]`."""
    words = sorted({word for text in instructions() for word in text.lower().split()})
    vocabulary = {word: i for i, word in enumerate([UNKNOWN, *words])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=UNKNOWN))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return tokenizer


def tokenizer_for(config: TextConfig) -> Tokenizer:
    """T5's own tokenizer where its weights come from somewhere, else one token per word.

    Raises:
        ConfigError: the local folder of weights has no tokenizer.json.
    """
    source = config.tokenizer or config.weights
    if config.kind == "words" or not source:
        return word_tokenizer()
    folder = Path(source)
    if not folder.is_dir():
        return Tokenizer.from_pretrained(source)
    if not (folder / "tokenizer.json").is_file():
        raise ConfigError("text encoder folder", sorted(one.name for one in folder.iterdir()), "a tokenizer.json in it")
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    return tokenizer


def encode(tokenizer: Tokenizer, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
    """Token ids (B, L) int64, padded with 0, and which are present, (B, L) bool."""
    ids = [tokenizer.encode(text).ids for text in texts]
    longest = max(map(len, ids))
    tokens = torch.zeros(len(ids), longest, dtype=torch.int64)
    present = torch.zeros(len(ids), longest, dtype=torch.bool)
    for row, one in enumerate(ids):
        tokens[row, : len(one)] = torch.tensor(one)
        present[row, : len(one)] = True
    return tokens, present
