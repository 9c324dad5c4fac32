"""What the tests of the comparisons share: a clone to start from, tiny episodes, and equality of checkpoints."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from small_policies import TINY, random_tokens, tiny_policy

from robots.stretch_re1 import SPOC_ACTIONS
from training.checkpoint import policy_payload, save
from training.ppo_rollout import Played, PlayOptions

PLAY = PlayOptions(max_steps=6, slots=2, bf16=False)
SMALL: dict[str, Any] = {
    "episodes": 4, "warmup": 1, "lr": 1e-3, "critic_lr": 1e-3, "play": PLAY, "context": 16, "bf16": False, "workers": 1,
    "shares": 2, "threads": 1, "evaluate_every": 0,
}  # fmt: skip
"""Options of a run of seconds."""


def write_clone(folder: Path) -> Path:
    """A run whose clone is an untrained tiny policy that says `done` now and then; returns it."""
    policy = tiny_policy(1)
    with torch.no_grad():
        policy.actor.bias[SPOC_ACTIONS.index("done")] += 1.0
    save(folder / "bc" / "best.pt", "policy", policy_payload(policy))
    return folder


def episode(steps: int, seed: int, *, done: bool = True, reward: float = 1.0, guided: int = 0) -> Played:
    """An episode made by hand."""
    rng = np.random.default_rng(seed)
    looks = steps if done else steps + 1
    earned = np.zeros(steps)
    earned[-1] = reward
    return Played(
        "go to a mug",
        random_tokens(TINY, looks, seed=seed).numpy().astype(np.float16),
        rng.integers(0, 20, looks).astype(np.uint8),
        np.zeros(looks, np.uint8),
        rng.integers(0, 4, steps).astype(np.uint8),
        np.full(steps, -np.log(20.0), np.float32),
        earned,
        reward > 0,
        done,
        seed % 3,
        guided,
    )


def episodes(count: int = 6) -> list[Played]:
    """Some ended, some cut off, some rewarded."""
    return [episode(3 + n, n, done=n % 2 == 0, reward=float(n % 3)) for n in range(count)]


def copied(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """A state dict that training does not change."""
    return {name: one.clone() for name, one in state.items()}


def same(one: object, other: object) -> bool:
    """Whether two nested payloads are equal bit for bit."""
    if isinstance(one, torch.Tensor):
        return isinstance(other, torch.Tensor) and torch.equal(one, other)
    if isinstance(one, dict):
        return isinstance(other, dict) and one.keys() == other.keys() and all(same(one[k], other[k]) for k in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))  # type: ignore[arg-type]
    return one == other


def different(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
    """Names in two checkpoints whose values are not the same."""
    plain = ("command", "git_commit")
    return [name for name in {**one, **other} if name not in plain and not same(one.get(name), other.get(name))]


def after(calls: int) -> Callable[[], bool]:
    """Says True from the given call on."""
    left = iter(range(calls))
    return lambda: next(left, None) is None
