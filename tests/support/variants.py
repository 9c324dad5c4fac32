"""What the tests of the comparisons share: a clone to start from, tiny episodes, and equality of checkpoints."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from small_policies import TINY, random_tokens, tiny_policy

from robots.embodiments.stretch_re1 import SPOC_ACTIONS
from training.rl.options import RolloutOptions
from training.rl.trajectory import Trajectory
from training.runtime.checkpoint import policy_payload, save

PLAY = RolloutOptions(max_steps=6, slots=2, bf16=False)
SMALL: dict[str, Any] = {
    "episodes": 4, "warmup": 1, "lr": 1e-3, "critic_lr": 1e-3, "play": PLAY, "context": 16, "bf16": False, "workers": 1,
    "jobs": 2, "threads": 1, "evaluate_every": 0,
}  # fmt: skip
"""Options of a run of seconds."""


def write_clone(folder: Path) -> Path:
    """A run whose clone is an untrained tiny policy that sometimes chooses `done`; returns it."""
    policy = tiny_policy(1)
    with torch.no_grad():
        policy.actor.bias[SPOC_ACTIONS.index("done")] += 1.0
    save(folder / "bc" / "best.pt", "policy", policy_payload(policy))
    return folder


def episode(steps: int, seed: int, *, done: bool = True, reward: float = 1.0, guided: int = 0) -> Trajectory:
    """An episode made by hand."""
    rng = np.random.default_rng(seed)
    looks = steps if done else steps + 1
    earned = np.zeros(steps)
    earned[-1] = reward
    return Trajectory(
        "go to a mug",
        random_tokens(TINY, looks, seed=seed).numpy().astype(np.float16),
        rng.integers(0, 20, looks).astype(np.uint8),
        np.zeros((looks, 1), np.float32),
        rng.integers(0, 4, steps).astype(np.uint8),
        np.full(steps, -np.log(20.0), np.float32),
        earned,
        reward > 0,
        done,
        seed % 3,
        guided,
    )


def episodes(count: int = 6) -> list[Trajectory]:
    """Some ended, some cut off, some rewarded."""
    return [episode(3 + n, n, done=n % 2 == 0, reward=float(n % 3)) for n in range(count)]


def after(calls: int) -> Callable[[], bool]:
    """Says True from the given call on."""
    left = iter(range(calls))
    return lambda: next(left, None) is None
