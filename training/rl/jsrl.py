"""`ferry train jsrl`: jump-start reinforcement learning (Uchendu et al. 2023, arXiv:2204.02372), a baseline of FLaRe.

The frozen clone, the guide, acts in the first steps of every episode; a policy that is trained from scratch by PPO acts
in the rest and learns from its own steps alone. The guide's number of steps shrinks stage by stage as long as the
success of both together stays near the best of the stages before (the paper's curriculum; its length, window and
tolerance here are ours). Every step counts towards the budget, the guide's too.
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
from training.rl.guided_rollout import GuidedRolloutWorker
from training.rl.ppo import Trainer, train
from training.rl.ppo_options import PpoOptions
from training.rl.rank_minibatches import RankShard
from training.rl.rollout import RolloutJob, RolloutWorker, Trajectory
from training.runtime.checkpoint import load, policy_from
from training.runtime.weights import Weights, arrays


@dataclass(frozen=True)
class JumpStart:
    """The curriculum."""

    steps: int = 100
    """Steps of an episode by the guide in the first stage; few episodes are longer."""
    stages: int = 10
    """Times that this is reduced, by equal amounts, until the learner acts alone."""
    window: int = 256
    """Episodes over which a stage's success is averaged."""
    tolerance: float = 0.1
    """A stage is done when its success is at least the best stage's, less this fraction of it."""

    def guide_steps(self, stage: int) -> int:
        """Returns the guide's steps of an episode in a stage; 0 in the last one."""
        return round(self.steps * (self.stages - min(stage, self.stages)) / self.stages)


@dataclass
class Curriculum:
    """State of the curriculum.

    Attributes:
        stage: from 0 to the number of stages.
        best: best success of a finished stage.
        recent: success of this stage's last `window` episodes.
    """

    options: JumpStart
    stage: int = 0
    best: float = 0.0
    recent: list[bool] = field(default_factory=list)

    @property
    def guide_steps(self) -> int:
        """The guide's steps of an episode in the current stage."""
        return self.options.guide_steps(self.stage)

    def record(self, successes: Sequence[bool]) -> None:
        """Adds an update's episodes; advances to the next stage if this one is done."""
        self.recent = [*self.recent, *successes][-self.options.window :]
        success = sum(self.recent) / max(len(self.recent), 1)
        enough = len(self.recent) >= self.options.window and self.stage < self.options.stages
        if enough and success >= (1.0 - self.options.tolerance) * self.best:
            self.stage, self.best, self.recent = self.stage + 1, max(self.best, success), []


@dataclass(frozen=True)
class JsrlOptions(PpoOptions):
    """Trains a policy by PPO in episodes that a cloned one begins, in one process."""

    name: str = "jsrl"
    """Folder in the run for checkpoints and TensorBoard files."""
    from_scratch: bool = True
    """The learner starts from untrained weights; with --no-from-scratch from the guide's."""
    warmup: int = 0
    """Updates that train the critic alone."""
    jump: JumpStart = field(default_factory=JumpStart)


def main(argv: Sequence[str]) -> int:
    """Runs `ferry train jsrl`."""
    options = tyro.cli(JsrlOptions, args=list(argv), prog="ferry train jsrl")
    return train(JsrlTrainer(options, shlex.join(["ferry", "train", "jsrl", *argv])))


class JsrlTrainer(Trainer):
    """PPO in which a guide acts in the first steps of every episode."""

    def __init__(self, options: JsrlOptions, command: str = "") -> None:
        super().__init__(options, command)
        self.curriculum = Curriculum(options.jump)
        self._guide: Weights = {}

    def run(self, stopping: Callable[[], bool] = lambda: False, updates: int | None = None) -> None:
        """As PPO; the guide is the clone that the run began with. CheckpointError where its file is missing."""
        self.expect_clone()
        clone = Path(self.clone)
        self._guide = arrays(trained_weights(policy_from(load(clone, "policy"), clone)))
        super().run(stopping, updates)

    def resume(self) -> None:
        """As PPO; restores the curriculum as well."""
        super().resume()
        state = load(self.last, "policy")["jsrl"]
        self.curriculum.stage, self.curriculum.best = state["stage"], state["best"]
        self.curriculum.recent = [bool(success) for success in state["recent"]]

    def payload(self) -> dict[str, Any]:
        """Returns the checkpoint's content; the policy in it is the learner, which acts alone in evaluations."""
        current = self.curriculum
        state = {"stage": current.stage, "best": current.best, "recent": list(map(int, current.recent))}
        return {**super().payload(), "algorithm": "JSRL", "jsrl": state}

    def _make_worker(self) -> Callable[[], RolloutWorker]:
        encoder = arrays({name: value.cpu() for name, value in self.model.actor.image_encoder.state_dict().items()})
        return partial(GuidedRolloutWorker, self.config, encoder, self.options.play, self.options.reward, self._guide)

    def _jobs(self) -> list[RolloutJob]:
        return [replace(job, guide_steps=self.curriculum.guide_steps) for job in super()._jobs()]

    def _update_policy(self, trajectories: Sequence[Trajectory], shard: RankShard | None = None) -> dict[str, float]:
        """Runs one update on the learner's steps; none where the guide took all of them."""
        own = [trajectory for trajectory in trajectories if trajectory.guided < len(trajectory)]
        rest = [trajectory for trajectory in trajectories if trajectory.guided == len(trajectory)]
        metrics = {"guide_steps": float(self.curriculum.guide_steps), "stage": float(self.curriculum.stage)}
        if own:
            metrics |= super()._update_policy(own)
        else:
            self.update += 1
        self.steps += sum(map(len, rest))
        self.window.extend(trajectory.success for trajectory in rest)
        self.curriculum.record([trajectory.success for trajectory in trajectories])
        return metrics
