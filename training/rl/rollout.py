"""Rollouts of one PPO update: whole episodes, played by worker processes with the actor's current weights.

An update plays a fixed number of whole episodes that are drawn from (seed, update), so its data is a function of those
and the weights: nothing is carried over, short episodes are not over-represented, a resumed run equals an uninterrupted
one, and a worker that dies is replaced and its jobs run again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from policy_server.onnx.sampling import choose
from robots.spec import F32Vector
from simulation.episode import EpisodeSpec
from simulation.tasks.object_nav import TASK
from simulation.twins.house_twin import TwinOptions
from simulation.worker_pool import Report
from training.closed_loop.rollout import ActiveEpisode, Rollout
from training.data.demonstration import training_episodes
from training.data.recording import policy_input
from training.data.shards import Episodes
from training.models.config import PolicyConfig
from training.rl.reward_shaping import closer, distance_m
from training.runtime.checkpoint import new_policy
from training.runtime.weights import Weights, tensors


@dataclass(frozen=True)
class RewardOptions:
    """Reward terms; by default success alone."""

    success: float = 10.0
    """For a correct `done` (FLaRe's code; its paper states 1)."""
    step: float = 0.0
    """For every decision; FLaRe's behaviour shaping uses -0.01."""
    collision: float = 0.0
    """For every blocked motion, -0.5 in FLaRe's behaviour shaping; its code penalises every action that fails, also one
    that the robot refuses (a `pickup` of nothing)."""
    shaping: float = 0.0
    """For every metre closer to the target than ever before; PoliFormer's dense reward is 1, with a step of -0.01."""


@dataclass(frozen=True)
class RolloutOptions:
    """Options of the rollouts."""

    max_steps: int = 150
    """Longest episode; it is truncated there, not terminated."""
    contact: str = "strict"
    """strict, or slide (a curriculum only: no real base slides)."""
    slots: int = 16
    """Episodes that one worker plays in parallel, in one batch of the policy."""
    bf16: bool = True
    """Image encoder in bfloat16."""
    task: tuple[str, ...] = (TASK,)
    """Tasks in `simulation.task_registry`; with several, each episode's is drawn."""
    body: str = "stretch_re1"
    """Robot: stretch_re1 or locobot. Actions that it lacks are masked; two actions of the LoCoBot move its camera."""


@dataclass(frozen=True)
class RolloutJob:
    """Part of an update that one worker plays.

    Attributes:
        seed: of the random numbers that its episodes are drawn from.
        episodes: number of episodes.
        weights: of the actor, without the image encoder.
        guide_steps: first steps of each episode in which a guide acts, where the worker has one.
    """

    seed: tuple[int, ...]
    episodes: int
    weights: Weights = field(repr=False)
    guide_steps: int = 0


@dataclass(frozen=True)
class Trajectory:
    """One whole episode of T decisions.

    Attributes:
        instruction: given to the policy.
        features: (T, cameras, K, C) float16; T + 1 where it was truncated, with the observation after the last action.
        previous, in_hand: of the same steps, uint8.
        actions: (T,) uint8.
        log_p: (T,) float32, log-probability of each action when it was chosen.
        rewards: (T,) float64.
        success: whether the task was solved.
        said_done: whether `done` terminated it; otherwise it was truncated.
        collisions: blocked motions.
        guided: number of first actions by another policy: inputs to the networks, but not trained on.
    """

    instruction: str
    features: npt.NDArray[np.float16]
    previous: npt.NDArray[np.uint8]
    in_hand: npt.NDArray[np.uint8]
    actions: npt.NDArray[np.uint8]
    log_p: npt.NDArray[np.float32]
    rewards: npt.NDArray[np.float64]
    success: bool
    said_done: bool
    collisions: int
    guided: int = 0

    def __len__(self) -> int:
        return len(self.actions)


class RolloutWorker:
    """Plays the episodes of a job by sampling from the actor, in the Rollout that `make` returns."""

    def __init__(
        self, config: PolicyConfig, encoder: Weights, play: RolloutOptions, reward: RewardOptions,
        make: Callable[..., Rollout] = Rollout,
    ) -> None:  # fmt: skip
        torch.set_num_threads(1)
        self.play, self.reward = play, reward
        policy = new_policy(config)
        policy.image_encoder.load_state_dict(tensors(encoder))
        if play.bf16:
            policy.image_encoder = HalfPrecision(policy.image_encoder)
        self.rollout = make(policy, play.slots, twin_options(policy.config, play), play.max_steps, play.body)
        self._log_p: dict[int, list[float]] = {}
        self._distances_m: dict[int, list[float]] = {}

    def __call__(self, job: RolloutJob, report: Report) -> list[Trajectory]:
        """Plays `job`; the same job gives the same episodes."""
        self.rollout.policy.load_state_dict(tensors(job.weights), strict=False)
        self._log_p.clear()  # of a job that was dropped
        self._distances_m.clear()
        order: list[EpisodeSpec] = []
        trajectories = {}
        for slot in self.rollout.run(self._draw(job, order), self._decide, keep=True):
            trajectories[id(slot.record.episode)] = self._trajectory(slot)
            report(slot.steps)
        return [trajectories[id(episode)] for episode in order]

    def _draw(self, job: RolloutJob, order: list[EpisodeSpec]) -> Iterator[EpisodeSpec]:
        """Draws the job's episodes, each when it is needed, and appends them to `order`."""
        play, eye, rng = self.play, self.rollout.twins[0].eye, np.random.default_rng(job.seed)
        drawn = training_episodes(rng, per_house=1, max_steps=play.max_steps, tasks=play.task, eye=eye)
        for episode in islice(drawn, job.episodes):
            order.append(episode)
            yield episode

    def _decide(self, slot: ActiveEpisode, logits: F32Vector) -> str:
        action, probabilities = choose(logits, "sample", slot.rng)
        return self._recorded(slot, action, float(np.log(probabilities[action])))

    def _recorded(self, slot: ActiveEpisode, action: int, log_p: float) -> str:
        """Records the action that is taken now; returns its name."""
        assert slot.policy_input is not None
        self._log_p.setdefault(id(slot), []).append(log_p)
        if self.reward.shaping:
            self._distances_m.setdefault(id(slot), []).append(distance_m(slot.twin))
        slot.record.add(action, slot.policy_input.previous_action, float(slot.policy_input.state[0]))
        return self.rollout.binding.actions.names[action]

    def _trajectory(self, slot: ActiveEpisode) -> Trajectory:
        record, actions = slot.record, np.array(slot.record.labels, np.uint8)
        if slot.ended != "done":
            self._add_final_observation(slot)
        blocked = [bool(sent.blocked) for sent in slot.twin.history]
        return Trajectory(
            instruction=record.episode.instruction,
            features=np.stack(record.features),
            previous=np.array(record.previous, np.uint8),
            in_hand=np.array(record.in_hand, np.uint8),
            actions=actions,
            log_p=np.array(self._log_p.pop(id(slot)), np.float32),
            rewards=rewards(self.reward, blocked, len(actions), record.success) + self._shaping(slot),
            success=record.success,
            said_done=slot.ended == "done",
            collisions=record.collisions,
        )

    def _shaping(self, slot: ActiveEpisode) -> npt.NDArray[np.float64] | float:
        """Computes the dense part of an ended episode's rewards, (T,)."""
        if not self.reward.shaping:
            return 0.0
        return self.reward.shaping * closer([*self._distances_m.pop(id(slot)), distance_m(slot.twin)])

    def _add_final_observation(self, slot: ActiveEpisode) -> None:
        """Adds the observation after the last action, for the bootstrap value of a truncated episode."""
        policy = self.rollout.policy
        final = policy_input(self.rollout.binding, slot.twin.observe(), slot.previous)
        images = [torch.from_numpy(final.images[name])[None] for name in policy.config.cameras]
        with torch.inference_mode():
            slot.record.features.append(policy.images(*images)[0].to(torch.float16).numpy())
        slot.record.previous.append(final.previous_action)
        slot.record.in_hand.append(round(float(final.state[0])))


class HalfPrecision(nn.Module):
    """An image encoder whose convolutions run in bfloat16, twice as fast on a CPU that has it."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = fused(inner).to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stub

    def forward(self, images: Tensor) -> Tensor:
        """Runs the inner encoder; float32."""
        with torch.autocast("cpu", torch.bfloat16):
            out: Tensor = self.inner(images).float()
        return out


def fused(module: nn.Module) -> nn.Module:
    """Folds each batch normalisation into the convolution before it, in place; returns the network."""
    for name, child in module.named_children():
        layers = list(child.children()) if isinstance(child, nn.Sequential) else []
        if len(layers) == 3 and isinstance(layers[0], nn.Conv2d) and isinstance(layers[1], nn.BatchNorm2d):
            setattr(module, name, nn.Sequential(fuse_conv_bn_eval(layers[0], layers[1]), layers[2]))
        else:
            fused(child)
    return module


def twin_options(config: PolicyConfig, play: RolloutOptions) -> TwinOptions:
    """Returns the options of the twin that a policy is trained in."""
    height, width = config.image.height, config.image.width
    return TwinOptions(height, width, randomise_cameras=True, randomise_appearance=True, contact=play.contact)


def rewards(options: RewardOptions, blocked: Sequence[bool], steps: int, success: bool) -> npt.NDArray[np.float64]:
    """Computes the rewards (T,) of an episode of `steps` decisions; `blocked` has one entry per executed command."""
    result = np.full(steps, options.step, np.float64)
    result[: len(blocked)] += options.collision * np.array(blocked, np.float64)
    result[-1] += options.success * success
    return result


def joined(trajectories: Sequence[Trajectory]) -> Episodes:
    """Joins episodes into one block; the last step of a truncated one has no action (0 as a placeholder)."""
    lengths = np.array([len(each.previous) for each in trajectories], np.int64)
    actions = [np.pad(each.actions, (0, len(each.previous) - len(each))) for each in trajectories]
    return Episodes(
        features=np.concatenate([each.features for each in trajectories]),
        labels=np.concatenate(actions),
        previous=np.concatenate([each.previous for each in trajectories]),
        in_hand=np.concatenate([each.in_hand for each in trajectories]),
        starts=np.cumsum(lengths) - lengths,
        lengths=lengths,
        instructions=tuple(each.instruction for each in trajectories),
    )


def per_step(trajectories: Sequence[Trajectory], values: Sequence[npt.NDArray[np.floating]]) -> npt.NDArray[np.float32]:
    """Joins one array (T,) per episode into one number per step of `joined`; 0 where there is no action."""
    return np.concatenate([
        np.pad(own.astype(np.float32), (0, len(each.previous) - len(own))) for each, own in zip(trajectories, values)
    ])  # fmt: skip


def trainable_mask(trajectories: Sequence[Trajectory]) -> npt.NDArray[np.bool_]:
    """Marks the steps of `joined` whose action is the learner's own."""
    steps = [(np.arange(len(each.previous)), each) for each in trajectories]
    return np.concatenate([(step >= each.guided) & (step < len(each)) for step, each in steps])


def jobs(seed: int, update: int, episodes: int, shares: int, weights: Weights) -> Iterator[RolloutJob]:
    """Divides an update's episodes into `shares` jobs of nearly equal size."""
    for number in range(shares):
        count = episodes // shares + (number < episodes % shares)
        yield RolloutJob((seed, 4, update, number), count, weights)
