"""The two sizes: parameters against the published network, and configurations that contradict themselves."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small_policies import SPOC_LIKE, TINY
from torch import nn

from robots.binding import bind
from robots.embodiments.stretch_re1 import SPOC_ACTIONS, STRETCH_RE1
from training.errors import ConfigError
from training.models.config import MINI, PRESETS, SMALL_3, PolicyConfig, config_hash, preset
from training.models.spoc import SpocPolicy


def millions(*modules: nn.Module | nn.Parameter) -> float:
    """Parameters, in millions."""
    return (
        sum(
            one.numel() if isinstance(one, nn.Parameter) else sum(p.numel() for p in one.parameters())
            for one in modules
        )
        / 1e6
    )


@pytest.fixture(scope="module")
def small_3() -> SpocPolicy:
    with torch.device("meta"):  # sizes alone, no memory
        return SpocPolicy(preset("small_3", weights=""), vocabulary=100)


def test_fusion_has_the_published_size(small_3: SpocPolicy) -> None:
    assert millions(small_3.fusion) == pytest.approx(9.46, abs=0.005)


def test_decoder_has_the_published_size(small_3: SpocPolicy) -> None:
    assert millions(small_3.decoder.layers, small_3.decoder.norm) == pytest.approx(10.23, abs=0.005)
    assert millions(small_3.decoder.out) == pytest.approx(0.26, abs=0.005)


def test_adapters_have_the_published_size(small_3: SpocPolicy) -> None:
    visual = small_3.visual
    assert millions(visual.compressor, visual.adapter, small_3.text_adapter) == pytest.approx(0.99, abs=0.005)
    assert (visual.gate, visual.position, visual.summary) == (None, None, None)


def test_heads_and_embeddings_have_the_published_size(small_3: SpocPolicy) -> None:
    parts = (small_3.actor, small_3.previous_action, small_3.in_hand, small_3.visual.camera)
    assert millions(*parts) == pytest.approx(0.02, abs=0.005)
    assert small_3.previous_action.num_embeddings == 22


def test_what_is_trained_adds_up(small_3: SpocPolicy) -> None:
    trained = sum(one.numel() for one in small_3.parameters() if one.requires_grad) / 1e6
    assert trained == pytest.approx(20.96, abs=0.01)


def test_the_frozen_encoders_are_dinov2_small_and_t5_small(small_3: SpocPolicy) -> None:
    assert millions(small_3.image_encoder) == pytest.approx(22.1, abs=0.1)
    assert millions(small_3.text_encoder) == pytest.approx(35.3, abs=0.1)


def test_mini_has_a_million_trained_parameters() -> None:
    with torch.device("meta"):
        mini = SpocPolicy(MINI, vocabulary=100)
    trained = sum(one.numel() for one in mini.parameters() if one.requires_grad) / 1e6
    assert trained == pytest.approx(1.0, abs=0.15)


@pytest.mark.parametrize("shape", [*PRESETS.values(), TINY, SPOC_LIKE], ids=lambda one: one.name)
def test_a_configuration_survives_json(shape: PolicyConfig) -> None:
    assert PolicyConfig.from_json(shape.to_json()) == shape


@pytest.mark.parametrize("shape", PRESETS.values(), ids=lambda one: one.name)
def test_every_size_fits_the_stretch(shape: PolicyConfig) -> None:
    binding = bind(shape.spec(), STRETCH_RE1)
    assert binding.mask.shape == (20,)
    assert shape.spec().actions == SPOC_ACTIONS


def test_only_a_table_with_room_has_a_token_for_blocked() -> None:
    assert (MINI.tokens.start, MINI.tokens.blocked) == (20, 22)
    assert (SMALL_3.tokens.start, SMALL_3.tokens.blocked) == (20, None)


def test_a_policy_of_other_actions_has_its_own_tokens_head_and_json() -> None:
    shape = replace(TINY, actions=("move_ahead", "rotate_left", "rotate_right", "done"), previous_tokens=7)
    assert (shape.tokens.start, shape.tokens.blocked) == (4, 6)
    assert SpocPolicy(shape, vocabulary=10).actor.out_features == 4
    assert PolicyConfig.from_json(shape.to_json()) == shape
    assert bind(shape.spec(), STRETCH_RE1).actions.names == shape.actions
    assert "actions" not in TINY.to_json()  # files and hashes stay those of before they could be others


def test_weights_can_be_replaced_by_a_folder() -> None:
    shape = preset("small_3", weights="some/folder")
    assert (shape.image.weights, shape.text.weights) == ("some/folder", "some/folder")
    assert preset("small_3") is SMALL_3


def test_an_unknown_size_is_named() -> None:
    with pytest.raises(ConfigError, match="policy size: got 'huge'"):
        preset("huge")


def test_a_width_must_hold_its_heads() -> None:
    with pytest.raises(ConfigError, match="policy width: got 30"):
        replace(TINY, width=30, fusion_heads=2, decoder_heads=4)


def test_a_table_of_previous_actions_has_one_of_two_sizes() -> None:
    with pytest.raises(ConfigError, match="previous_tokens: got 20, expected 22 or 23"):
        replace(TINY, previous_tokens=20)


def test_json_with_a_field_too_many_or_too_few_is_refused() -> None:
    data = TINY.to_json()
    with pytest.raises(ConfigError, match=r"policy configuration: got TypeError .*colour"):
        PolicyConfig.from_json({**data, "colour": "red"})
    del data["image"]
    with pytest.raises(ConfigError, match="got KeyError 'image', expected its fields"):
        PolicyConfig.from_json(data)


@given(st.dictionaries(st.text(max_size=5), st.integers(), min_size=1, max_size=4))
def test_the_hash_depends_on_values_and_not_on_order(data: dict[str, int]) -> None:
    assert config_hash(data) == config_hash(dict(reversed(data.items())))
    name = next(iter(data))
    assert config_hash(data) != config_hash({**data, name: data[name] + 1})
