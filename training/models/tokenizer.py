"""Tokenizers of instructions, as Hugging Face `tokenizers` files, which the bundle contains unchanged."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
from torch import Tensor

from simulation.houses.categories import CATEGORIES
from simulation.tasks.instructions import GOTO_VERBS, with_article
from training.errors import ConfigError
from training.models.config import TextConfig
from training.models.siglip import siglip_tokenizer

UNKNOWN = "[UNK]"

LATER_WORDS = (
    *("pick", "up", "take", "grab", "grasp", "clutch", "hold", "and", "that"),  # pick_up, fetch
    *("all", "rooms", "in", "the", "1", "2", "3", "4", "5", "6"),  # room_visit
    *("kitchen", "living", "room", "bedroom", "bathroom"),  # room_nav
    *("smallest", "largest", "closest", "furthest", "from"),  # object_nav_rel_attr, and furniture to compare with
    *("table", "desk", "coffee", "side", "nightstand", "dresser", "tv", "stand", "counter", "shelf", "vanity"),
    *("wardrobe", "fridge", "bathtub"),
    *("instrument", "fruit", "equipment", "furnishing", "container", "machine", "fixture"),  # object_nav_afford
    *("playing", "watching", "sleeping", "sitting", "lounging", "serving", "throwing", "watering", "holding"),
)
"""Words of the other tasks, after those of ObjectNav; append only: a clone's table has them by number.

Words that distinguish no two instructions are left out, since rows are few."""

TABLE_ROWS = 93
"""Rows of a table of words: `[UNK]`, the 28 words of ObjectNav, and 64 reserved for other tasks."""


def instructions() -> tuple[str, ...]:
    """Every instruction of ObjectNav: each verb with each category."""
    return tuple(f"{verb} {with_article(name)}" for verb in GOTO_VERBS for name in CATEGORIES)


def word_tokenizer() -> Tokenizer:
    """One token per word of the instructions, lower case; an unknown word is `[UNK]`.

    Raises:
        ConfigError: there are more words than rows.
    """
    words = sorted({word for text in instructions() for word in text.lower().split()})
    vocabulary = {word: i for i, word in enumerate([UNKNOWN, *words, *LATER_WORDS])}
    if len(vocabulary) > TABLE_ROWS:
        raise ConfigError("words", len(vocabulary), f"at most {TABLE_ROWS}, the rows of a clone's table")
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=UNKNOWN))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return tokenizer


def tokenizer_for(config: TextConfig) -> Tokenizer:
    """Returns T5's own tokenizer where the configuration has a source of its weights, else one token per word.

    Raises:
        ConfigError: the local folder of weights has no tokenizer.json, or that of an imported policy is gone.
    """
    source = config.tokenizer or config.weights
    if config.kind == "words" or not source:
        return word_tokenizer()
    folder = Path(source)
    if config.tokenizer and not folder.is_dir():
        raise ConfigError(
            "tokenizer", f"no folder {folder}", "the --weights that the policy was imported with; `ferry import` again"
        )
    if not folder.is_dir():
        return Tokenizer.from_pretrained(source)
    if not (folder / "tokenizer.json").is_file():
        raise ConfigError(
            "text encoder folder", sorted(entry.name for entry in folder.iterdir()), "a tokenizer.json in it"
        )
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    return siglip_tokenizer(tokenizer) if config.kind == "siglip" else tokenizer


def encode(tokenizer: Tokenizer, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
    """Encodes texts: token ids (B, L) int64, padded with 0, and their presence, (B, L) bool."""
    ids = [tokenizer.encode(text).ids for text in texts]
    longest = max(map(len, ids))
    tokens = torch.zeros(len(ids), longest, dtype=torch.int64)
    present = torch.zeros(len(ids), longest, dtype=torch.bool)
    for row, of_text in enumerate(ids):
        tokens[row, : len(of_text)] = torch.tensor(of_text)
        present[row, : len(of_text)] = True
    return tokens, present
