"""Episodes that a guide begins and the learner ends: how JSRL plays (Uchendu et al. 2023, arXiv:2204.02372).

Both policies see every step, because both remember the whole episode; the guide decides the first ones. It may end the
episode there: ending is an action here.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from policy_server.sampling import choose
from robots.spec import F32Vector
from simulation.worker_pool import Report
from training.closed_loop.rollout import Memory, Rollout, Slot
from training.models.config import PolicyConfig
from training.models.spoc import SpocPolicy
from training.rl.rollout import Played, Player, PlayJob, PlayOptions, RewardOptions, Weights, tensors
from training.runtime.checkpoint import new_policy


class GuidedRollout(Rollout):
    """A rollout in which a guide says, too, what it would do in each of the first steps.

    Args:
        guide: a policy with the same image encoder.

    Attributes:
        guide_steps: how many steps of an episode are the guide's.
        advice: the guide's logits of this step, by `id` of the slot.
    """

    def __init__(self, guide: SpocPolicy, policy: SpocPolicy, slots: int, *rest: Any) -> None:
        super().__init__(policy, slots, *rest)
        self.guide = Memory(guide.eval(), slots, self.max_steps)
        self.guide_steps = 0
        self.advice: dict[int, F32Vector] = {}

    def _logits(self, active: dict[int, Slot]) -> tuple[npt.NDArray[np.float16], npt.NDArray[np.float32]]:
        tokens, logits = super()._logits(active)
        guided = [i for i, slot in enumerate(active.values()) if slot.steps < self.guide_steps]
        self.advice = self._ask([*active.items()], tokens, guided) if guided else {}
        return tokens, logits

    def _ask(
        self, active: list[tuple[int, Slot]], tokens: npt.NDArray[np.float16], rows: list[int]
    ) -> dict[int, F32Vector]:
        """What the guide says in the slots of some rows."""
        slots = torch.tensor([active[i][0] for i in rows])
        for i in rows:
            if active[i][1].steps == 0:
                self.guide.forget(active[i][0])
        now = [one for _, slot in active if (one := slot.now) is not None]
        previous = torch.tensor([now[i].previous_action for i in rows])
        state = torch.from_numpy(np.stack([now[i].state for i in rows]))
        with torch.inference_mode():
            text = self.guide.policy.text(*self._instructions(slots))
            said = self.guide.step(slots, torch.from_numpy(tokens[rows]).float(), text, previous, state).numpy()
        return {id(active[i][1]): one for i, one in zip(rows, said)}


class GuidedPlayer(Player):
    """A worker's work: plays the first `guide_steps` of each episode by sampling from the guide."""

    rollout: GuidedRollout

    def __init__(
        self, config: PolicyConfig, encoder: Weights, play: PlayOptions, reward: RewardOptions, guide: Weights
    ) -> None:
        one = new_policy(config)
        one.load_state_dict(tensors(guide), strict=False)
        super().__init__(config, encoder, play, reward, partial(GuidedRollout, one))
        self._guided: dict[int, int] = {}

    def __call__(self, job: PlayJob, report: Report) -> list[Played]:
        """Plays `job`; the same job gives the same episodes."""
        self.rollout.guide_steps = job.guide_steps
        return super().__call__(job, report)

    def _decide(self, slot: Slot, logits: F32Vector) -> str:
        advice = self.rollout.advice.get(id(slot))
        if advice is None:
            return super()._decide(slot, logits)
        action, _ = choose(self.rollout.binding.masked(advice), "sample", slot.rng)
        self._guided[id(slot)] = slot.steps + 1
        return self._noted(slot, action, 0.0)

    def _played(self, slot: Slot) -> Played:
        return replace(super()._played(slot), guided=self._guided.pop(id(slot), 0))
