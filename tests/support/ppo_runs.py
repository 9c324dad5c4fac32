"""A tiny run of PPO: its clone, its options, and episodes made by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from small_policies import TINY, random_tokens, tiny_policy

from robots.embodiments.stretch_re1 import SPOC_ACTIONS
from training.rl.options import RolloutOptions
from training.rl.ppo import PpoOptions
from training.rl.reward import RewardOptions
from training.rl.trajectory import Trajectory
from training.runtime.checkpoint import policy_payload, save

PLAY = RolloutOptions(max_steps=6, slots=2, bf16=False)


def cloned(folder: Path) -> Path:
    """Makes `folder` a run whose clone is an untrained tiny policy that sometimes chooses `done`."""
    policy = tiny_policy(1)
    with torch.no_grad():
        policy.actor.bias[SPOC_ACTIONS.index("done")] += 1.0
    save(folder / "bc" / "best.pt", "policy", policy_payload(policy))
    return folder


def options(run: Path, name: str = "ppo", **changes: Any) -> PpoOptions:
    """Of a few seconds; `changes` on top."""
    made = PpoOptions(
        run, name, episodes=4, warmup=1, epochs=2, minibatches=2, lr=1e-3, critic_lr=1e-3, play=PLAY, context=16,
        bf16=False, workers=1, jobs=2, threads=1, evaluate_every=0,
        reward=RewardOptions(success=10.0, step=-0.1, collision=-0.5),
    )  # fmt: skip
    return replace(made, **changes)


def episode(steps: int, seed: int, *, done: bool = True, reward: float = 1.0) -> Trajectory:
    """An episode made by hand, with another kind of feature for each action."""
    rng = np.random.default_rng(seed)
    looks = steps if done else steps + 1
    actions = rng.integers(0, 4, steps).astype(np.uint8)
    features = random_tokens(TINY, looks, seed=seed).numpy().astype(np.float16)
    earned = np.zeros(steps)
    earned[-1] = reward
    return Trajectory(
        "go to a mug", features, rng.integers(0, 20, looks).astype(np.uint8), np.zeros((looks, 1), np.float32), actions,
        np.full(steps, -np.log(20.0), np.float32), earned, reward > 0, done, 0,
    )  # fmt: skip


def episodes(count: int = 6, reward: float = 1.0) -> list[Trajectory]:
    """Some of different lengths, every other one cut off."""
    return [episode(3 + n, n, done=n % 2 == 0, reward=reward * (n % 3)) for n in range(count)]
