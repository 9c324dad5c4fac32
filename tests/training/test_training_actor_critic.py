"""Two separate networks from one clone, and one with two heads."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from small_policies import TINY, learnable_episode, tiny_policy

from training.data.packing import Batch, Instructions, collate
from training.data.shards import load_shards, shard_path, write_shard
from training.imitation.loss import batch_logits
from training.models.tokenizer import tokenizer_for
from training.rl.actor_critic import ActorCritic, trained_weights


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> tuple[Batch, Instructions]:
    """One row with three episodes and another with one."""
    path = shard_path(Path(tmp_path_factory.mktemp("shards")), 0)
    write_shard(path, [learnable_episode(n, steps) for n, steps in enumerate((5, 3, 4, 9))])
    episodes = load_shards([path])
    words = Instructions(episodes, tokenizer_for(TINY.text))
    return collate(episodes, words, [[0, 1, 2], [3]], 16), words


def places(one: torch.nn.Module) -> set[int]:
    return {parameter.data_ptr() for parameter in one.parameters()}


def test_no_parameter_is_shared() -> None:
    model = ActorCritic(tiny_policy())
    assert model.critic is not None
    actor, critic = model.actor_parameters(), model.critic_parameters()
    assert not {id(one) for one in actor} & {id(one) for one in critic}
    assert not places(model.actor) & (places(model.critic) | places(model.value))
    trained = {id(one) for one in model.parameters() if one.requires_grad}
    assert {id(one) for one in (*actor, *critic)} == trained


def test_both_start_from_the_clone() -> None:
    clone = tiny_policy(3)
    before = {name: one.clone() for name, one in clone.state_dict().items()}
    model = ActorCritic(clone)
    assert model.critic is not None
    for name, one in model.critic.state_dict().items():
        assert torch.equal(one, before[name]), name
    assert not any(name.startswith(("image_encoder", "actor")) for name in model.critic.state_dict())
    assert all(torch.equal(one, before[name]) for name, one in model.actor.state_dict().items())


def test_the_actors_logits_are_the_clones(given: tuple[Batch, Instructions]) -> None:
    clone = tiny_policy(3)
    expected = batch_logits(clone, *given)
    model = ActorCritic(clone)
    assert torch.equal(model.logits(*given), expected)
    assert model.values(*given).shape == (2, 12)
    logits, values = model.both(*given)
    assert torch.equal(logits, expected)
    assert torch.equal(values, model.values(*given))


def test_the_values_gradient_reaches_the_critic_alone(given: tuple[Batch, Instructions]) -> None:
    model = ActorCritic(tiny_policy())
    model.values(*given).sum().backward()  # type: ignore[no-untyped-call]
    assert all(one.grad is None for one in model.actor_parameters())
    assert sum(one.grad is not None for one in model.critic_parameters()) > 30


def test_the_image_encoder_is_frozen(given: tuple[Batch, Instructions]) -> None:
    model = ActorCritic(tiny_policy())
    trained = {id(one) for one in (*model.actor_parameters(), *model.critic_parameters())}
    frozen = list(model.actor.image_encoder.parameters())
    assert frozen
    assert not any(id(one) in trained or one.requires_grad for one in frozen)


def test_values_see_their_own_episode_only(given: tuple[Batch, Instructions]) -> None:
    batch, words = given
    model = ActorCritic(tiny_policy())
    before = model.values(batch, words)
    batch.tokens[0, 6] += 1.0  # the second step of the second episode in the first row
    after = model.values(batch, words)
    batch.tokens[0, 6] -= 1.0
    changed = (before - after).abs() > 1e-7
    assert changed[0, 6:8].all()
    assert not changed[0, :6].any()
    assert not changed[0, 8:].any()
    assert not changed[1].any()


def test_there_is_no_dropout(given: tuple[Batch, Instructions]) -> None:
    model = ActorCritic(tiny_policy())
    assert torch.equal(model.logits(*given), model.logits(*given))


def test_a_shared_network_has_two_heads(given: tuple[Batch, Instructions]) -> None:
    model = ActorCritic(tiny_policy(), shared=True)
    assert model.critic is None
    assert {id(one) for one in model.critic_parameters()} == {id(model.value.weight), id(model.value.bias)}
    model.values(*given).sum().backward()  # type: ignore[no-untyped-call]
    assert model.actor.decoder.out.weight.grad is not None
    logits, values = model.both(*given)
    assert torch.equal(logits, model.logits(*given))
    assert torch.equal(values, model.values(*given))


def test_the_value_head_is_new_and_small(given: tuple[Batch, Instructions]) -> None:
    one, same, other = (ActorCritic(tiny_policy(), seed=seed) for seed in (1, 1, 2))
    assert torch.equal(one.value.weight, same.value.weight)
    assert not torch.equal(one.value.weight, other.value.weight)
    assert one.values(*given).abs().max() < 0.5


def test_trained_weights_are_all_but_the_image_encoders() -> None:
    policy = tiny_policy()
    names = set(trained_weights(policy))
    assert "actor.weight" in names
    assert {name for name in policy.state_dict() if name not in names} == {
        f"image_encoder.{name}" for name in policy.image_encoder.state_dict()
    }
