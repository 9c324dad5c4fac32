"""`ferry train jsrl`: jump-start reinforcement learning (Uchendu et al. 2023, arXiv:2204.02372), a baseline of FLaRe.

The frozen clone, the guide, acts in the first steps of every episode; a policy that is trained from scratch by PPO acts
in the rest and learns from its own steps alone. The guide's number of steps shrinks stage by stage as long as the
success of both together stays near the best of the stages before (the paper's curriculum; its length, window and
tolerance here are ours). Every step counts towards the budget, the guide's too.

Both policies observe every step, because both attend to the whole episode. The guide may end the episode in its steps:
`done` is an action here.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import tyro

from policy_server.onnx.sampling import choose
from robots.spec import F32Vector
from simulation.worker_pool import Report
from training.bundles.start import load_policy
from training.closed_loop.rollout import ActiveEpisode, KVCache, Rollout
from training.errors import ConfigError
from training.models.config import PolicyConfig
from training.models.spoc import SpocPolicy
from training.rl.actor_critic import trained_weights
from training.rl.options import RolloutOptions
from training.rl.ppo import PpoOptions, PpoTrainer
from training.rl.reward import RewardOptions
from training.rl.rollout import RolloutJob, RolloutWorker
from training.rl.rollout_buffer import RolloutBuffer
from training.rl.trainer import train
from training.rl.trajectory import Trajectory
from training.runtime.checkpoint import load, new_policy, policy_from
from training.runtime.weights import Weights, arrays, tensors


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

    def check(self, ranks: int) -> None:
        """Raises ConfigError for options that do not go together."""
        super().check(ranks)
        if self.overlap:
            raise ConfigError("overlap", True, "no overlap: an update's guide depends on the update before")


def main(argv: Sequence[str]) -> int:
    """Runs `ferry train jsrl`."""
    options = tyro.cli(JsrlOptions, args=list(argv), prog="ferry train jsrl")
    return train(JsrlTrainer(options, shlex.join(["ferry", "train", "jsrl", *argv])))


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
        self, config: PolicyConfig, frozen: Weights, play: RolloutOptions, reward: RewardOptions, guide: Weights
    ) -> None:
        guide_policy = new_policy(config)
        guide_policy.load_state_dict(tensors({**frozen, **guide}), strict=False)
        super().__init__(config, frozen, play, reward, partial(GuidedRollout, guide_policy))
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


class JsrlTrainer(PpoTrainer):
    """PPO in which a guide acts in the first steps of every episode."""

    options: JsrlOptions
    algorithm = "JSRL"

    def __init__(self, options: JsrlOptions, command: str = "") -> None:
        super().__init__(options, command)
        self.curriculum = Curriculum(options.jump)
        self._guide: Weights = {}

    def run(self, stopping: Callable[[], bool] = lambda: False, updates: int | None = None) -> None:
        """As PPO; the guide is the clone that the run began with. CheckpointError where its file is missing."""
        self.expect_clone()
        clone = Path(self.clone)
        self._guide = arrays(trained_weights(policy_from(load_policy(clone), clone)))
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
        return {**super().payload(), "jsrl": state}

    def make_worker(self) -> Callable[[], RolloutWorker]:
        """Returns what makes a worker, with the guide, in its process."""
        options = self.options
        return partial(GuidedRolloutWorker, self.config, self._frozen(), options.play, options.reward, self._guide)

    def jobs(self) -> list[RolloutJob]:
        """Returns this update's rollout jobs."""
        return [replace(job, guide_steps=self.curriculum.guide_steps) for job in super().jobs()]

    def update_policy(self, rollouts: RolloutBuffer) -> dict[str, float]:
        """Runs one update on the learner's steps; none where the guide took all of them."""
        trajectories = rollouts.trajectories
        own = [trajectory for trajectory in trajectories if trajectory.guided < len(trajectory)]
        rest = [trajectory for trajectory in trajectories if trajectory.guided == len(trajectory)]
        metrics = {"guide_steps": float(self.curriculum.guide_steps), "stage": float(self.curriculum.stage)}
        if own:
            metrics |= super().update_policy(RolloutBuffer.of(own))
        else:
            self.update += 1
        self.steps += sum(map(len, rest))
        self.window.extend(trajectory.success for trajectory in rest)
        self.curriculum.record([trajectory.success for trajectory in trajectories])
        return metrics
