"""Rollouts of JSRL: a guide acts in an episode's first steps, the learner in the rest (Uchendu et al. 2023,
arXiv:2204.02372).

Both policies observe every step, because both attend to the whole episode. The guide may end the episode in its steps:
`done` is an action here.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from policy_server.onnx.sampling import choose
from robots.spec import F32Vector
from simulation.worker_pool import Report
from training.closed_loop.rollout import ActiveEpisode, KVCache, Rollout
from training.models.config import PolicyConfig
from training.models.spoc import SpocPolicy
from training.rl.rollout import RewardOptions, RolloutJob, RolloutOptions, RolloutWorker, Trajectory
from training.runtime.checkpoint import new_policy
from training.runtime.weights import Weights, tensors


class GuidedRollout(Rollout):
    """A rollout that also runs a guide in the first steps of each episode.

    Args:
        guide: a policy with the same image encoder.

    Attributes:
        guide_steps: first steps of an episode in which the guide acts.
        advice: the guide's logits at this step, by `id` of the slot.
    """

    def __init__(self, guide: SpocPolicy, policy: SpocPolicy, slots: int, *rest: Any) -> None:
        super().__init__(policy, slots, *rest)
        self.guide = KVCache(guide.eval(), slots, self.max_steps)
        self.guide_steps = 0
        self.advice: dict[int, F32Vector] = {}

    def _logits(self, active: dict[int, ActiveEpisode]) -> tuple[npt.NDArray[np.float16], npt.NDArray[np.float32]]:
        tokens, logits = super()._logits(active)
        guided = [i for i, slot in enumerate(active.values()) if slot.steps < self.guide_steps]
        self.advice = self._ask([*active.items()], tokens, guided) if guided else {}
        return tokens, logits

    def _ask(
        self, active: list[tuple[int, ActiveEpisode]], tokens: npt.NDArray[np.float16], rows: list[int]
    ) -> dict[int, F32Vector]:
        """Runs the guide in the slots of the given rows."""
        slots = torch.tensor([active[i][0] for i in rows])
        for i in rows:
            if active[i][1].steps == 0:
                self.guide.clear(active[i][0])
        inputs = [given for _, slot in active if (given := slot.policy_input) is not None]
        previous = torch.tensor([inputs[i].previous_action for i in rows])
        state = torch.from_numpy(np.stack([inputs[i].state for i in rows]))
        with torch.inference_mode():
            text = self.guide.policy.text(*self._instructions(slots))
            logits = self.guide.step(slots, torch.from_numpy(tokens[rows]).float(), text, previous, state).numpy()
        return {id(active[i][1]): row for i, row in zip(rows, logits)}


class GuidedRolloutWorker(RolloutWorker):
    """Plays the first `guide_steps` of each episode by sampling from the guide, the rest as RolloutWorker does."""

    rollout: GuidedRollout

    def __init__(
        self, config: PolicyConfig, encoder: Weights, play: RolloutOptions, reward: RewardOptions, guide: Weights
    ) -> None:
        guide_policy = new_policy(config)
        guide_policy.load_state_dict(tensors(guide), strict=False)
        super().__init__(config, encoder, play, reward, partial(GuidedRollout, guide_policy))
        self._guided: dict[int, int] = {}

    def __call__(self, job: RolloutJob, report: Report) -> list[Trajectory]:
        """Plays `job`; the same job gives the same episodes."""
        self.rollout.guide_steps = job.guide_steps
        return super().__call__(job, report)

    def _decide(self, slot: ActiveEpisode, logits: F32Vector) -> str:
        advice = self.rollout.advice.get(id(slot))
        if advice is None:
            return super()._decide(slot, logits)
        action, _ = choose(self.rollout.binding.masked(advice), "sample", slot.rng)
        self._guided[id(slot)] = slot.steps + 1
        return self._recorded(slot, action, 0.0)

    def _trajectory(self, slot: ActiveEpisode) -> Trajectory:
        return replace(super()._trajectory(slot), guided=self._guided.pop(id(slot), 0))
