"""`ferry train jsrl`: jump-start reinforcement learning (Uchendu et al. 2023, arXiv:2204.02372), a baseline of FLaRe.

The frozen clone, the guide, acts in the first steps of every episode; a policy that is learnt from scratch by PPO acts
in the rest of it and learns from its own steps alone. The guide's share shrinks stage by stage as long as the success
of both together stays near the best of the stages before (the paper's curriculum; its length, window and tolerance here
are ours). Every step counts towards the budget, the guide's too.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import tyro

from training.rl.actor_critic import trained_weights
from training.rl.guided_rollout import GuidedPlayer
from training.rl.ppo import Trainer, train
from training.rl.ppo_options import PpoOptions
from training.rl.rank_minibatches import Share
from training.rl.rollout import Played, Player, PlayJob, Weights, arrays
from training.runtime.checkpoint import load, policy_from


@dataclass(frozen=True)
class JumpStart:
    """The curriculum."""

    steps: int = 100
    """Steps of an episode that are the guide's at first; hardly any episode is longer."""
    stages: int = 10
    """Times that this is reduced, by equal parts, until the learner acts alone."""
    window: int = 256
    """Episodes of a stage that tell its success."""
    tolerance: float = 0.1
    """A stage is done when its success is at least the best stage's, less this share of it."""

    def guide_steps(self, stage: int) -> int:
        """Steps of an episode that are the guide's in a stage; 0 in the last one."""
        return round(self.steps * (self.stages - min(stage, self.stages)) / self.stages)


@dataclass
class Curriculum:
    """Where the curriculum is.

    Attributes:
        stage: from 0 to the number of stages.
        best: the best success of a stage that is done.
        recent: of this stage's episodes, whether each succeeded; the last `window` of them.
    """

    options: JumpStart
    stage: int = 0
    best: float = 0.0
    recent: list[bool] = field(default_factory=list)

    @property
    def guide_steps(self) -> int:
        """Steps of an episode that are the guide's now."""
        return self.options.guide_steps(self.stage)

    def hear(self, successes: Sequence[bool]) -> None:
        """Takes in an update's episodes; goes on to the next stage if this one is done."""
        self.recent = [*self.recent, *successes][-self.options.window :]
        success = sum(self.recent) / max(len(self.recent), 1)
        enough = len(self.recent) >= self.options.window and self.stage < self.options.stages
        if enough and success >= (1.0 - self.options.tolerance) * self.best:
            self.stage, self.best, self.recent = self.stage + 1, max(self.best, success), []


@dataclass(frozen=True)
class JsrlOptions(PpoOptions):
    """Learns a policy by PPO that a cloned one gives a start, in one process."""

    name: str = "jsrl"
    """Folder in the run for checkpoints and TensorBoard files."""
    scratch: bool = True
    """The learner starts from untrained weights; --no-scratch: from the clone's, as the guide is."""
    warmup: int = 0
    """Updates of the critic alone."""
    jump: JumpStart = field(default_factory=JumpStart)


def main(argv: Sequence[str]) -> int:
    """Runs `ferry train jsrl`."""
    options = tyro.cli(JsrlOptions, args=list(argv), prog="ferry train jsrl")
    return train(JsrlTrainer(options, shlex.join(["ferry", "train", "jsrl", *argv])))


class JsrlTrainer(Trainer):
    """PPO in which a guide begins every episode."""

    def __init__(self, options: JsrlOptions, command: str = "") -> None:
        super().__init__(options, command)
        self.curriculum = Curriculum(options.jump)
        self._guide: Weights = {}

    def run(self, stopping: Callable[[], bool] = lambda: False, updates: int | None = None) -> None:
        """As PPO; the guide is the clone that the run began with, or CheckpointError says that it is not there."""
        self.expect_clone()
        clone = Path(self.clone)
        self._guide = arrays(trained_weights(policy_from(load(clone, "policy"), clone)))
        super().run(stopping, updates)

    def resume(self) -> None:
        """As PPO; takes up the curriculum as well."""
        super().resume()
        state = load(self.last, "policy")["jsrl"]
        self.curriculum.stage, self.curriculum.best = state["stage"], state["best"]
        self.curriculum.recent = [bool(one) for one in state["recent"]]

    def payload(self) -> dict[str, Any]:
        """The checkpoint's content; the policy in it is the learner, which acts alone where it is evaluated."""
        now = self.curriculum
        state = {"stage": now.stage, "best": now.best, "recent": [int(one) for one in now.recent]}
        return {**super().payload(), "algorithm": "JSRL", "jsrl": state}

    def _make_player(self) -> Callable[[], Player]:
        encoder = arrays({name: one.cpu() for name, one in self.model.actor.image_encoder.state_dict().items()})
        return partial(GuidedPlayer, self.config, encoder, self.options.play, self.options.reward, self._guide)

    def _jobs(self) -> list[PlayJob]:
        return [replace(job, guide_steps=self.curriculum.guide_steps) for job in super()._jobs()]

    def _learn(self, played: Sequence[Played], share: Share | None = None) -> dict[str, float]:
        """One update from the learner's steps; none where the guide did everything."""
        learnt = [one for one in played if one.guided < len(one)]
        rest = [one for one in played if one.guided == len(one)]
        figures = {"guide_steps": float(self.curriculum.guide_steps), "stage": float(self.curriculum.stage)}
        if learnt:
            figures |= super()._learn(learnt)
        else:
            self.update += 1
        self.steps += sum(map(len, rest))
        self.window.extend(one.success for one in rest)
        self.curriculum.hear([one.success for one in played])
        return figures
