"""Several ranks, as real processes that torchrun starts: they learn what one rank with all the simulators learns."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_policies import tiny_policy

from robots.stretch_re1 import SPOC_ACTIONS
from training.checkpoint import load, policy_payload, save
from training.distributed import Ranks, device_of
from training.errors import ConfigError, RanksLost
from training.ppo import PpoOptions, Trainer
from training.ppo_rollout import Played, PlayOptions, RewardOptions
from training.share import Outcome, Share

UPDATES = 4
ROOT = Path(__file__).parents[2]
SPEEDS = ("steps_per_s", "playing_steps_per_s", "learning_steps_per_s")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose clone is an untrained tiny policy that says `done` now and then."""
    folder = tmp_path_factory.mktemp("ranks")
    policy = tiny_policy(1)
    with torch.no_grad():
        policy.actor.bias[SPOC_ACTIONS.index("done")] += 1.0
    save(folder / "bc" / "best.pt", "policy", policy_payload(policy))
    return folder


def options(run: Path, name: str, **changes: Any) -> PpoOptions:
    return PpoOptions(
        run, name, episodes=6, warmup=2, epochs=2, minibatches=2, lr=1e-3, critic_lr=1e-3, context=16, bf16=False,
        play=PlayOptions(max_steps=6, slots=2, bf16=False), workers=1, shares=3, threads=1, evaluate_every=0,
        save_every_s=0.0, reward=RewardOptions(success=10.0, step=-0.1, collision=-0.5), **changes,
    )  # fmt: skip


def words(run: Path, name: str) -> list[str]:
    """The same options as words."""
    line = (
        f"--run {run} --name {name} --episodes 6 --warmup 2 --epochs 2 --minibatches 2 --lr 1e-3 --critic-lr 1e-3 "
        "--context 16 --no-bf16 --play.max-steps 6 --play.slots 2 --play.no-bf16 --workers 1 --shares 3 --threads 1 "
        "--evaluate-every 0 --save-every-s 0 --reward.success 10 --reward.step -0.1 --reward.collision -0.5"
    )
    return line.split()


@contextmanager
def torchrun(*words: str) -> Iterator[subprocess.Popen[str]]:
    """Two ranks of `ferry train ppo` on this machine."""
    line = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    process = subprocess.Popen(
        [*line, "-m", "ferry", "train", "ppo", *words], cwd=ROOT, text=True, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, start_new_session=True,
    )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()


def until(process: subprocess.Popen[str], text: str, heard: list[str]) -> str:
    """Waits for a line with `text`; keeps all of them in `heard`."""
    assert process.stdout is not None
    for line in process.stdout:
        heard.append(line)
        if text in line:
            return line
    raise AssertionError("it ended by itself:\n" + "".join(heard))


def figures(lines: str) -> list[dict[str, float]]:
    """What each update's line says, without the speeds."""
    made = []
    for line in re.findall(r"update \d+, \d+ steps: .*", lines):
        cells = (cell.rsplit(" ", 1) for cell in line.replace(" steps: ", ", steps ", 1).split(", ")[2:])
        made.append({name: float(value) for name, value in cells if name not in SPEEDS})
    return made


@pytest.fixture(scope="module")
def interrupted(run: Path) -> str:
    """What two ranks said until Ctrl-C came after their last update here."""
    heard: list[str] = []
    with torchrun(*words(run, "two")) as process:
        until(process, f"update {UPDATES}, ", heard)
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate(timeout=60)
    return "".join(heard) + rest


def test_two_ranks_learn_what_one_learns(run: Path, interrupted: str, capsys: pytest.CaptureFixture[str]) -> None:
    Trainer(options(run, "one")).run(updates=UPDATES)
    one, two = figures(capsys.readouterr().err), figures(interrupted)
    assert len(one) == UPDATES
    assert "policy_loss" in two[UPDATES - 1]
    for alone, together in zip(one, two):
        assert together == pytest.approx(alone, rel=2e-3, abs=2e-4, nan_ok=True)
