"""Learning on a CUDA device; needs one, and is not run where there is none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from checkpoints import copied, same
from variants import SMALL, episodes, write_clone

from training.rl.ppo import PpoOptions, PpoTrainer
from training.rl.rollout_buffer import RolloutBuffer
from training.runtime.checkpoint import load, policy_from

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


@pytest.mark.parametrize("bf16", [True, False])
def test_an_update_of_ppo_learns_there_and_its_checkpoint_is_read_anywhere(tmp_path: Path, bf16: bool) -> None:
    made = PpoTrainer(PpoOptions(run=write_clone(tmp_path), **{**SMALL, "warmup": 0, "bf16": bf16, "device": "cuda"}))
    before = copied(made.model.actor.state_dict())
    figures = made.update_policy(RolloutBuffer.of(episodes()))
    assert next(made.model.parameters()).is_cuda
    assert np.isfinite(list(figures.values())).all()
    assert not same(before, made.model.actor.state_dict())
    made.save("last.pt")
    assert not next(policy_from(load(made.last, "policy"), made.last).parameters()).is_cuda
