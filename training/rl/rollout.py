"""The episodes that one update of PPO learns from, played by worker processes with the actor's present weights.

An update plays a fixed number of whole episodes that are drawn from (seed, update), so its data is a function of those
and the weights: nothing is carried over, short episodes are not over-represented, a resumed run equals an unbroken one,
and a worker that dies is replaced and its share is played again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from policy_server.sampling import choose
from robots.embodiments.stretch_re1 import SPOC_ACTIONS
from robots.spec import F32Vector
from simulation.episode import EpisodeSpec
from simulation.tasks.object_nav import TASK
from simulation.twins.house_twin import TwinOptions
from simulation.worker_pool import Report
from training.closed_loop.rollout import Rollout, Slot
from training.data.demonstration import training_episodes
from training.data.recording import shown
from training.data.shards import Episodes
from training.models.config import PolicyConfig
from training.rl.reward_shaping import closer, distance_m
from training.runtime.checkpoint import new_policy

Weights = dict[str, npt.NDArray[Any]]
"""A state dict for another process: as numbers, because torch would send its tensors through shared files."""


@dataclass(frozen=True)
class RewardOptions:
    """What is rewarded; by default success alone."""

    success: float = 10.0
    """For a right `done` (FLaRe's code; its paper says 1)."""
    step: float = 0.0
    """For every decision; FLaRe's behaviour shaping uses -0.01."""
    collision: float = 0.0
    """For every blocked motion, -0.5 in FLaRe's behaviour shaping; its code fines every action that fails, also one
    that the body refuses (a `pickup` of nothing)."""
    shaping: float = 0.0
    """For every metre closer to the target than ever before; PoliFormer's dense reward is 1, with a step of -0.01."""


@dataclass(frozen=True)
class PlayOptions:
    """How episodes are played."""

    max_steps: int = 150
    """Longest episode; it is cut off there, not failed."""
    contact: str = "strict"
    """strict, or slide (a curriculum only: no real base slides)."""
    slots: int = 16
    """Episodes that one worker plays at once."""
    bf16: bool = True
    """Image encoder in bfloat16."""
    task: tuple[str, ...] = (TASK,)
    """Tasks, of `simulation.task_registry`; with several, each episode's is drawn."""
    body: str = "stretch_re1"
    """Whose twin: stretch_re1 or locobot. What it lacks is masked, and two slots of the LoCoBot move its camera."""


@dataclass(frozen=True)
class PlayJob:
    """One worker's share of an update.

    Attributes:
        seed: what its episodes are drawn from.
        episodes: how many.
        weights: of the actor, without the image encoder.
        guide_steps: so many steps of each episode are a guide's, where the player has one.
    """

    seed: tuple[int, ...]
    episodes: int
    weights: Weights = field(repr=False)
    guide_steps: int = 0


@dataclass(frozen=True)
class Played:
    """One whole episode of T decisions.

    Attributes:
        instruction: what the robot was told.
        features: (T, cameras, K, C) float16, or T + 1 where it was cut off: then what was seen after the last action.
        previous, in_hand: of as many steps, uint8.
        actions: (T,) uint8.
        log_p: (T,) float32, log-probability of each action when it was chosen.
        rewards: (T,) float64.
        success: whether the task was solved.
        said_done: whether `done` ended it; else it was cut off.
        collisions: blocked motions.
        guided: so many of its first actions were another policy's: seen by the networks, learnt from by none.
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


class Player:
    """A worker's work: plays the episodes of a job by sampling from the actor, with what `make` makes of a Rollout."""

    def __init__(
        self, config: PolicyConfig, encoder: Weights, play: PlayOptions, reward: RewardOptions,
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

    def __call__(self, job: PlayJob, report: Report) -> list[Played]:
        """Plays `job`; the same job gives the same episodes."""
        self.rollout.policy.load_state_dict(tensors(job.weights), strict=False)
        self._log_p.clear()  # of a job that was dropped
        self._distances_m.clear()
        order: list[EpisodeSpec] = []
        played = {}
        for slot in self.rollout.run(self._draw(job, order), self._decide, keep=True):
            played[id(slot.seen.episode)] = self._played(slot)
            report(slot.steps)
        return [played[id(episode)] for episode in order]

    def _draw(self, job: PlayJob, order: list[EpisodeSpec]) -> Iterator[EpisodeSpec]:
        """The job's episodes, each drawn when it is needed and written down in `order`."""
        play, eye, rng = self.play, self.rollout.twins[0].eye, np.random.default_rng(job.seed)
        drawn = training_episodes(rng, per_house=1, max_steps=play.max_steps, tasks=play.task, eye=eye)
        for episode in islice(drawn, job.episodes):
            order.append(episode)
            yield episode

    def _decide(self, slot: Slot, logits: F32Vector) -> str:
        action, probabilities = choose(logits, "sample", slot.rng)
        return self._noted(slot, action, float(np.log(probabilities[action])))

    def _noted(self, slot: Slot, action: int, log_p: float) -> str:
        """Writes down the action that is taken now; returns its name."""
        assert slot.now is not None
        self._log_p.setdefault(id(slot), []).append(log_p)
        if self.reward.shaping:
            self._distances_m.setdefault(id(slot), []).append(distance_m(slot.twin))
        name = SPOC_ACTIONS.names[action]
        slot.seen.add(name, slot.now.previous_action, float(slot.now.state[0]))
        return name

    def _played(self, slot: Slot) -> Played:
        seen, actions = slot.seen, np.array(slot.seen.labels, np.uint8)
        if slot.ended != "done":
            self._look_once_more(slot)
        blocked = [bool(sent.blocked) for sent in slot.twin.history]
        return Played(
            instruction=seen.episode.instruction,
            features=np.stack(seen.features),
            previous=np.array(seen.previous, np.uint8),
            in_hand=np.array(seen.in_hand, np.uint8),
            actions=actions,
            log_p=np.array(self._log_p.pop(id(slot)), np.float32),
            rewards=rewards(self.reward, blocked, len(actions), seen.success) + self._shaping(slot),
            success=seen.success,
            said_done=slot.ended == "done",
            collisions=seen.collisions,
        )

    def _shaping(self, slot: Slot) -> npt.NDArray[np.float64] | float:
        """The dense part of an ended episode's rewards, (T,)."""
        if not self.reward.shaping:
            return 0.0
        return self.reward.shaping * closer([*self._distances_m.pop(id(slot)), distance_m(slot.twin)])

    def _look_once_more(self, slot: Slot) -> None:
        """Adds what is seen after the last action, whose value continues an episode that was cut off."""
        policy = self.rollout.policy
        now = shown(self.rollout.binding, slot.twin.observe(), slot.previous)
        pictures = [torch.from_numpy(now.images[name])[None] for name in policy.config.cameras]
        with torch.inference_mode():
            slot.seen.features.append(policy.images(*pictures)[0].to(torch.float16).numpy())
        slot.seen.previous.append(now.previous_action)
        slot.seen.in_hand.append(round(float(now.state[0])))


class HalfPrecision(nn.Module):
    """An image encoder whose convolutions run in bfloat16, twice as fast on a CPU that has it."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = fused(inner).to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stub

    def forward(self, images: Tensor) -> Tensor:
        """As the inner encoder, float32."""
        with torch.autocast("cpu", torch.bfloat16):
            out: Tensor = self.inner(images).float()
        return out


def fused(module: nn.Module) -> nn.Module:
    """The same network with each batch normalisation folded into the convolution before it, in place."""
    for name, child in module.named_children():
        layers = list(child.children()) if isinstance(child, nn.Sequential) else []
        if len(layers) == 3 and isinstance(layers[0], nn.Conv2d) and isinstance(layers[1], nn.BatchNorm2d):
            setattr(module, name, nn.Sequential(fuse_conv_bn_eval(layers[0], layers[1]), layers[2]))
        else:
            fused(child)
    return module


def arrays(weights: Mapping[str, Tensor]) -> Weights:
    """A state dict's numbers, copied."""
    return {name: one.detach().numpy().copy() for name, one in weights.items()}


def tensors(weights: Weights) -> dict[str, Tensor]:
    """Inverse of `arrays`."""
    return {name: torch.from_numpy(one) for name, one in weights.items()}


def twin_options(config: PolicyConfig, play: PlayOptions) -> TwinOptions:
    """The twin that a policy is trained in."""
    height, width = config.image.height, config.image.width
    return TwinOptions(height, width, randomise_cameras=True, randomise_appearance=True, contact=play.contact)


def rewards(options: RewardOptions, blocked: Sequence[bool], steps: int, success: bool) -> npt.NDArray[np.float64]:
    """Rewards (T,) of one episode of `steps` decisions; `blocked` is of each that moved the body."""
    made = np.full(steps, options.step, np.float64)
    made[: len(blocked)] += options.collision * np.array(blocked, np.float64)
    made[-1] += options.success * success
    return made


def joined(played: Sequence[Played]) -> Episodes:
    """Episodes as one block of memory; the last step of one that was cut off has no action (0 stands for it)."""
    lengths = np.array([len(one.previous) for one in played], np.int64)
    actions = [np.pad(one.actions, (0, len(one.previous) - len(one))) for one in played]
    return Episodes(
        features=np.concatenate([one.features for one in played]),
        labels=np.concatenate(actions),
        previous=np.concatenate([one.previous for one in played]),
        in_hand=np.concatenate([one.in_hand for one in played]),
        starts=np.cumsum(lengths) - lengths,
        lengths=lengths,
        instructions=tuple(one.instruction for one in played),
    )


def per_step(played: Sequence[Played], values: Sequence[npt.NDArray[np.floating]]) -> npt.NDArray[np.float32]:
    """One number per step of `joined`, from one array (T,) per episode; 0 where there is no action."""
    return np.concatenate([
        np.pad(one.astype(np.float32), (0, len(episode.previous) - len(one))) for episode, one in zip(played, values)
    ])  # fmt: skip


def learnt_from(played: Sequence[Played]) -> npt.NDArray[np.bool_]:
    """Whether each step of `joined` has an action of the learner's own."""
    steps = [(np.arange(len(one.previous)), one) for one in played]
    return np.concatenate([(step >= one.guided) & (step < len(one)) for step, one in steps])


def jobs(seed: int, update: int, episodes: int, shares: int, weights: Weights) -> Iterator[PlayJob]:
    """An update's episodes in `shares` jobs of nearly equal size."""
    for number in range(shares):
        count = episodes // shares + (number < episodes % shares)
        yield PlayJob((seed, 4, update, number), count, weights)
