"""Instructions as tokens, there and back; words that nobody taught; both text encoders."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small_policies import SPOC_LIKE, TINY
from tokenizers import Tokenizer

from simulation.houses.categories import CATEGORIES
from simulation.houses.furniture import FURNITURE
from simulation.houses.inventory import ROOM_KINDS
from simulation.tasks.instructions import BEST_FOR, GOTO_VERBS, visit_instruction
from simulation.tasks.object_nav_afford import AFFORDANCES, CALLED
from simulation.tasks.pick_up import PICK_UP_VERBS
from training.errors import ConfigError
from training.models.config import TextConfig
from training.models.text_encoder import WordEncoder, text_encoder
from training.models.tokenizer import UNKNOWN, encode, instructions, tokenizer_for, word_tokenizer

TOKENIZER = word_tokenizer()


def test_there_is_an_instruction_for_every_verb_and_category() -> None:
    texts = instructions()
    assert len(set(texts)) == len(GOTO_VERBS) * len(CATEGORIES) == 75
    assert "search for an alarm clock" in texts


@pytest.mark.parametrize("text", instructions())
def test_an_instruction_comes_back_from_its_tokens(text: str) -> None:
    assert TOKENIZER.decode(TOKENIZER.encode(text).ids) == text


def test_no_two_instructions_have_the_same_tokens() -> None:
    assert len({tuple(TOKENIZER.encode(text).ids) for text in instructions()}) == 75


def test_capitals_do_not_matter() -> None:
    assert TOKENIZER.encode("Find A MUG").ids == TOKENIZER.encode("find a mug").ids


@given(st.from_regex(r"[qxz]{3,8}", fullmatch=True))
def test_an_unknown_word_is_one_unknown_token(word: str) -> None:
    ids = TOKENIZER.encode(f"find a {word}").ids
    assert ids[:2] == TOKENIZER.encode("find a").ids
    assert ids[2:] == [TOKENIZER.token_to_id(UNKNOWN)]


def test_the_file_in_the_bundle_is_the_same_tokenizer(tmp_path: Path) -> None:
    TOKENIZER.save(str(tmp_path / "tokenizer.json"))
    again = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    for text in (*instructions(), "find a unicorn"):
        assert again.encode(text).ids == TOKENIZER.encode(text).ids


def test_texts_of_different_lengths_are_padded() -> None:
    ids, present = encode(TOKENIZER, ["find a mug", "search for an alarm clock"])
    assert ids.shape == present.shape == (2, 5)
    assert present.sum(1).tolist() == [3, 5]
    assert ids[0, 3:].tolist() == [0, 0]
    assert ids[0, :3].tolist() == TOKENIZER.encode("find a mug").ids


def test_random_encoders_use_words() -> None:
    assert tokenizer_for(SPOC_LIKE.text).get_vocab() == tokenizer_for(TINY.text).get_vocab()


def test_a_folder_of_weights_brings_its_tokenizer(tmp_path: Path) -> None:
    TOKENIZER.enable_padding(length=12)
    TOKENIZER.save(str(tmp_path / "tokenizer.json"))
    TOKENIZER.no_padding()
    found = tokenizer_for(TextConfig("t5", 16, weights=str(tmp_path)))
    assert found.encode("find a mug").ids == TOKENIZER.encode("find a mug").ids  # and no padding


def test_a_folder_without_a_tokenizer_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").touch()
    with pytest.raises(ConfigError, match=r"got \['model.safetensors'\]"):
        tokenizer_for(TextConfig("t5", 16, weights=str(tmp_path)))


def test_a_word_has_one_vector_wherever_it_stands() -> None:
    encoder = text_encoder(TINY.text, 20)
    assert isinstance(encoder, WordEncoder)
    features = encoder(torch.tensor([[3, 7, 3]]))
    assert features.shape == (1, 3, TINY.text.width)
    assert torch.equal(features[0, 0], features[0, 2])
    assert not torch.equal(features[0, 0], features[0, 1])


def test_t5_does_not_read_padding() -> None:
    torch.manual_seed(0)
    encoder = text_encoder(SPOC_LIKE.text, 20).eval()
    short, long = torch.tensor([[3, 7]]), torch.tensor([[3, 7, 0, 0]])
    present = torch.tensor([[True, True, False, False]])
    assert torch.allclose(encoder(long, present)[:, :2], encoder(short), atol=1e-5)
    assert not torch.allclose(encoder(long)[:, :2], encoder(short), atol=1e-5)


def test_an_unknown_kind_is_named() -> None:
    with pytest.raises(ConfigError, match="text encoder: got 'clip'"):
        text_encoder(replace(TINY.text, kind="clip"), 20)


def test_the_words_of_objectnav_keep_their_numbers() -> None:
    """A clone's table knows them by these."""
    words = ("[UNK]", "a", "alarm", "mug", "vase", "pick", "bathtub", "holding")
    assert [TOKENIZER.token_to_id(word) for word in words] == [0, 1, 2, 19, 28, 29, 71, 87]


def test_every_task_has_distinct_instructions() -> None:
    lists = [
        [f"{verb} an apple" for verb in PICK_UP_VERBS],
        [f"find a mug and {verb} that mug" for verb in PICK_UP_VERBS],
        [visit_instruction(rooms) for rooms in range(1, 7)],
        [f"find a {kind}" for kind in ROOM_KINDS],
        [
            f"find the mug {how} the {kind} in the kitchen"
            for how in ("closest to", "furthest from")
            for kind in FURNITURE
        ],
        [f"find the {size} mug in the kitchen" for size in ("smallest", "largest")],
        [f"find a {CALLED[names[0]]}{BEST_FOR}{good}" for good, names in AFFORDANCES.items()],
    ]
    for texts in lists:
        assert len({tuple(TOKENIZER.encode(text).ids) for text in texts}) == len(texts), texts
