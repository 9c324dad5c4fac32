"""The vision-language-action policy: its shapes, its words, its configuration and its checkpoint."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from vla_policies import ACTIONS, SMALL, small_policy, write_policy

from training.errors import CheckpointError, ConfigError
from training.runtime.checkpoint import save
from training.vla.policy.action_tokenizer import Statistics
from training.vla.policy.checkpoint import KIND, load_policy, policy_payload
from training.vla.policy.config import UNKNOWN, VlaConfig, preset, word_table
from training.vla.policy.model import VlaPolicy, new_vla


def image(seed: int = 0, size: int = 32) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (1, size, size, 3), dtype=torch.uint8, generator=generator)


def logits(policy: VlaPolicy, instruction: str, seed: int = 0) -> torch.Tensor:
    with torch.no_grad():
        out: torch.Tensor = policy(image(seed), policy.words([instruction]), policy.proprio(np.zeros((1, 8))))
    return out


def test_mini_has_about_a_million_parameters_and_decodes_a_chunk_at_once() -> None:
    policy = new_vla(preset("mini", VlaConfig(ACTIONS, words=("pick", "up"))))
    assert 1.0e6 < sum(one.numel() for one in policy.parameters()) < 1.2e6
    out = policy(image(0, 128), policy.words(["pick up"]), policy.proprio(np.zeros((1, 8))))
    assert out.shape == (1, 8, 7, 256)


def test_image_and_instruction_matter() -> None:
    policy = small_policy()
    red = logits(policy, "reach the red blob")
    assert not torch.allclose(red, logits(policy, "reach the blue blob"), atol=1e-3)
    assert not torch.allclose(red, logits(policy, "reach the red blob", seed=1), atol=1e-3)


def test_words_are_known_by_the_table_and_padding_changes_nothing() -> None:
    policy = small_policy()
    assert policy.config.word_ids("Reach the red BLOB") == policy.config.word_ids("reach the red blob")
    assert policy.config.word_ids("fetch") == [UNKNOWN]
    words = policy.words(["reach", "reach the red blob"])
    assert words.shape == (2, 4)
    with torch.no_grad():
        alone = policy(image(), policy.words(["reach"]), torch.zeros(1, 0))
        padded = policy(image(), words[:1], torch.zeros(1, 0))
    assert torch.allclose(alone, padded, atol=1e-6)
    assert policy.words([""]).shape == (1, 1)
    assert word_table(["pick up the mug", "Pick the bowl"]) == ("bowl", "mug", "pick", "the", "up")


def test_proprioception_is_seen_only_where_it_is_asked_for() -> None:
    scales = Statistics((0.0,) * 8, (2.0,) * 8, (True,) * 8)
    for policy, sees in ((small_policy(), False), (small_policy(proprio=scales), True)):
        words = policy.words(["reach"])
        with torch.no_grad():
            near, far = (policy(image(), words, policy.proprio(np.full((1, 8), value))) for value in (0.5, 1.5))
        assert torch.allclose(near, far) is not sees


def test_a_configuration_is_plain_json() -> None:
    config = VlaConfig(ACTIONS, Statistics((0.0,), (1.0,), (True,)), words=("pick", "up"), chunk=4)
    assert VlaConfig.from_json(json.loads(json.dumps(config.to_json()))) == config
    with pytest.raises(ConfigError, match="policy configuration"):
        VlaConfig.from_json({"actions": ACTIONS.to_json()})


def test_sizes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ConfigError, match="policy width: got 50"):
        VlaConfig(ACTIONS, width=50)
    with pytest.raises(ConfigError, match="image_size: got 100"):
        VlaPolicy(VlaConfig(ACTIONS, image_size=100))
    with pytest.raises(ConfigError, match="network: got 'llama', expected one of conv"):
        VlaPolicy(VlaConfig(ACTIONS, network="llama"))
    with pytest.raises(ConfigError, match="policy size: got 'huge'"):
        preset("huge", VlaConfig(ACTIONS))
    with pytest.raises(ConfigError, match="channels"):
        VlaPolicy(VlaConfig(ACTIONS, channels=(8, 8)))


def test_a_checkpoint_gives_the_same_policy(tmp_path: Path) -> None:
    policy = small_policy()
    again = load_policy(write_policy(tmp_path, policy))
    assert torch.equal(logits(policy, "reach the red blob"), logits(again, "reach the red blob"))
    assert not again.training


def test_weights_of_another_policy_are_refused(tmp_path: Path) -> None:
    payload = policy_payload(small_policy())
    other = replace(small_policy().config, width=SMALL["width"] * 2)
    save(tmp_path / "a.pt", KIND, {**payload, "policy": other.to_json()})
    with pytest.raises(CheckpointError, match="do not fit the configuration"):
        load_policy(tmp_path / "a.pt")
    payload["weights"]["network.head.bias"][0] = float("nan")
    save(tmp_path / "b.pt", KIND, payload)
    with pytest.raises(CheckpointError, match="NaN or infinity"):
        load_policy(tmp_path / "b.pt")
    save(tmp_path / "c.pt", "policy", {})
    with pytest.raises(CheckpointError, match="expected a checkpoint of kind 'vla'"):
        load_policy(tmp_path / "c.pt")
