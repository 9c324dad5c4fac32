"""The whole network: equal outputs of all ways of computing it, and the effect of each input."""

from __future__ import annotations

import math

import pytest
import torch
from small_policies import SPOC_LIKE, TINY, random_tokens, tiny_policy
from torch import Tensor

from training.closed_loop.rollout import KVCache
from training.models.config import PolicyConfig
from training.models.spoc import Adapter, SpocPolicy, Text, VisualTokens, time_encoding
from training.models.tokenizer import encode, tokenizer_for

PARITY = 1e-5


@pytest.fixture(scope="module", params=[TINY, SPOC_LIKE], ids=lambda shape: shape.name)
def policy(request: pytest.FixtureRequest) -> SpocPolicy:
    policy = tiny_policy(3, request.param)
    for parameter in policy.parameters():
        parameter.data += 0.03 * torch.randn_like(parameter)
    return policy.requires_grad_(False)


def episode(shape: PolicyConfig, steps: int, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Tokens (T, cameras, K, C), previous actions (T,) and in-hand flags (T, 1)."""
    generator = torch.Generator().manual_seed(seed)
    previous = torch.randint(0, 20, (steps,), generator=generator)
    previous[0] = shape.tokens.start
    state = torch.randint(0, 2, (steps, 1), generator=generator).float()
    return random_tokens(shape, steps, seed=seed), previous, state


def texts(policy: SpocPolicy, *lines: str) -> Text:
    return policy.text(*encode(tokenizer_for(policy.config.text), lines))


def empty(policy: SpocPolicy, episodes: int = 1) -> Tensor:
    layers, heads, size = policy.heads
    return torch.zeros(layers, episodes, heads, 0, size)


def stepwise(policy: SpocPolicy, parts: tuple[Tensor, Tensor, Tensor], text: Text) -> Tensor:
    """Logits (T, A), one step after the other through the key-value cache."""
    keys = values = empty(policy)
    rows = []
    for step, (tokens, previous, state) in enumerate(zip(*parts)):
        number = torch.tensor([step])
        logits, keys, values = policy.step(tokens[None], text, previous[None], state[None], number, keys, values)
        rows.append(logits[0])
    return torch.stack(rows)


def test_steps_equal_the_sequence(policy: SpocPolicy) -> None:
    parts = episode(policy.config, 7)
    text = texts(policy, "find a mug")
    tokens, previous, state = (one[None] for one in parts)
    number = torch.arange(7)[None]
    whole = policy.sequence(tokens, text.pick(torch.zeros(7, dtype=torch.int64)), previous, state, number, 0 * number)
    assert whole.shape == (1, 7, 20)
    assert torch.allclose(whole[0], stepwise(policy, parts, text), atol=PARITY)


def test_packed_episodes_are_independent(policy: SpocPolicy) -> None:
    lengths = (4, 3)
    parts = [episode(policy.config, length, seed) for seed, length in enumerate(lengths)]
    text = texts(policy, "find a mug", "search for an alarm clock")
    trajectory = torch.tensor([[5] * 4 + [9] * 3 + [-1]])
    padded = [torch.cat([*one, torch.zeros_like(one[0][:1])])[None] for one in zip(*parts)]
    number = torch.tensor([[0, 1, 2, 3, 0, 1, 2, 0]])
    chosen = torch.tensor([0] * 4 + [1] * 3 + [0])
    packed = policy.sequence(padded[0], text.pick(chosen), padded[1], padded[2], number, trajectory)[0]
    for i, place in enumerate((slice(0, 4), slice(4, 7))):
        alone = stepwise(policy, parts[i], texts(policy, ("find a mug", "search for an alarm clock")[i]))
        assert torch.allclose(packed[place], alone, atol=PARITY)


def test_memory_of_many_episodes_equals_each_alone(policy: SpocPolicy) -> None:
    memory = KVCache(policy, slots=3, capacity=8)
    parts = [episode(policy.config, 6, seed) for seed in range(3)]
    lines = ["find a mug", "locate a bed", "go to an apple"]
    everything = texts(policy, *lines)
    schedule = [(0,), (0, 1), (0, 1, 2), (1, 2), (2,)]  # they begin at different times
    at, got = [0, 0, 0], [[], [], []]  # type: ignore[var-annotated]
    for slots in schedule:
        rows = [[one[at[slot]] for slot in slots] for one in zip(*parts)]
        tokens, previous, state = (torch.stack([parts[slot][k][at[slot]] for slot in slots]) for k in range(3))
        assert len(rows) == 3
        numbers = torch.tensor(slots)
        for slot, logits in zip(slots, memory.step(numbers, tokens, everything.pick(numbers), previous, state)):
            got[slot].append(logits)
            at[slot] += 1
    for slot in range(3):
        short = tuple(one[: at[slot]] for one in parts[slot])
        expected = stepwise(policy, short, texts(policy, lines[slot]))  # type: ignore[arg-type]
        assert torch.allclose(torch.stack(got[slot]), expected, atol=PARITY)


def test_memory_forgets(policy: SpocPolicy) -> None:
    memory, text = KVCache(policy, slots=1, capacity=8), texts(policy, "find a mug")
    tokens, previous, state = episode(policy.config, 3)
    slot = torch.tensor([0])

    def step(number: int) -> Tensor:
        return memory.step(slot, tokens[number, None], text, previous[number, None], state[number, None])

    first = step(0)
    step(1)
    step(2)
    memory.clear(0)
    assert torch.equal(step(0), first)


def test_padded_words_change_nothing(policy: SpocPolicy) -> None:
    tokens, previous, state = episode(policy.config, 1)
    number = torch.tensor([0])
    short = texts(policy, "find a mug")
    long = texts(policy, "find a mug", "search for an alarm clock").pick(torch.tensor([0]))
    assert long.features.shape[1] > short.features.shape[1]
    expected, got = (policy.fuse(tokens, one, previous, state, number) for one in (short, long))
    assert torch.allclose(expected, got, atol=PARITY)


@pytest.mark.parametrize("what", ["tokens", "previous", "state", "step", "text"])
def test_every_input_matters(policy: SpocPolicy, what: str) -> None:
    tokens, previous, state = episode(policy.config, 1)
    number, text = torch.tensor([0]), texts(policy, "find a mug")
    before = policy.fuse(tokens, text, previous, state, number)
    changed = {
        "tokens": (tokens + 1, text, previous, state, number),
        "previous": (tokens, text, previous - 1, state, number),
        "state": (tokens, text, previous, 1 - state, number),
        "step": (tokens, text, previous, state, number + 1),
        "text": (tokens, texts(policy, "find a bed"), previous, state, number),
    }[what]
    assert not torch.allclose(before, policy.fuse(*changed), atol=1e-4)


def test_images_of_two_cameras_keep_their_places(policy: SpocPolicy) -> None:
    image = policy.config.image
    generator = torch.Generator().manual_seed(0)
    shape = (3, image.height, image.width, 3)
    left, right = (torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator) for _ in range(2))
    tokens = policy.images(left, right)
    assert tokens.shape == (3, 2, image.tokens, image.token_width)
    assert torch.allclose(tokens[:, 0], policy.image_encoder(left), atol=PARITY)
    assert torch.allclose(tokens[1, 1], policy.image_encoder(right)[1], atol=PARITY)


def test_the_frozen_encoders_stay_frozen_in_training() -> None:
    policy = tiny_policy().train()
    assert policy.training
    assert not any(one.training for one in policy.image_encoder.modules())
    assert not any(one.requires_grad for one in policy.image_encoder.parameters())
    assert all(one.requires_grad for one in policy.text_encoder.parameters())  # the word table is trained
    t5 = tiny_policy(0, SPOC_LIKE)
    assert not any(one.requires_grad for one in t5.text_encoder.parameters())


def test_time_encoding_by_hand() -> None:
    got = time_encoding(torch.tensor([3]), 4)[0]
    slow = 3 / 10_000**0.5
    expected = torch.tensor([math.sin(3), math.cos(3), math.sin(slow), math.cos(slow)])
    assert torch.allclose(got, expected, atol=1e-6)


def test_time_encodings_differ_and_are_of_one_size() -> None:
    codes = time_encoding(torch.arange(600), 32)
    assert torch.allclose(codes.square().sum(1), torch.full((600,), 16.0), atol=1e-3)
    distances = torch.cdist(codes, codes) + 10 * torch.eye(600)
    assert distances.min() > 0.1


def test_the_gate_is_a_factor_made_from_the_goal() -> None:
    visual = VisualTokens(TINY).eval()
    tokens, goal = random_tokens(TINY, 2), torch.randn(2, TINY.width)
    assert visual.gate is not None
    assert visual.summary is not None
    x = visual.compressor(tokens) * (1 + visual.gate(goal))[:, None, None]
    x = visual.adapter(x)
    got, summary = visual(tokens, goal)
    expected = (x + visual.camera[:, None] + visual.position).flatten(1, 2)
    assert torch.allclose(got, expected, atol=1e-6)
    assert torch.allclose(summary, visual.summary(x), atol=1e-6)


def test_a_gate_of_zero_leaves_what_is_seen_as_it_is() -> None:
    visual = VisualTokens(TINY).eval()
    assert visual.gate is not None
    torch.nn.init.zeros_(visual.gate.weight)
    torch.nn.init.zeros_(visual.gate.bias)
    tokens = random_tokens(TINY, 2)
    one, _ = visual(tokens, torch.randn(2, TINY.width))
    other, _ = visual(tokens, torch.randn(2, TINY.width))
    assert torch.equal(one, other)


def test_without_a_gate_the_goal_reaches_the_tokens_in_fusion_only() -> None:
    visual = VisualTokens(SPOC_LIKE).eval()
    tokens = random_tokens(SPOC_LIKE, 2)
    one, summary = visual(tokens, torch.zeros(2, TINY.width))
    other, _ = visual(tokens, torch.ones(2, TINY.width))
    assert torch.equal(one, other)
    assert summary is None


def test_an_adapter_is_linear_norm_relu() -> None:
    adapter = Adapter(3, 5)
    x = torch.randn(2, 3)
    y = torch.relu(torch.nn.functional.layer_norm(adapter[0](x), (5,)))
    assert torch.allclose(adapter(x), y, atol=1e-6)
