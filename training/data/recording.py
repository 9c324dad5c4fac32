"""Recorded episodes: the policy's inputs step by step, to compare two implementations along them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from robots.binding import Binding, bind
from robots.observation import Observation
from robots.previous_action import previous_action
from robots.robot import Sent
from robots.spec import DiscreteActions, F32Vector, PolicySpec, U8Image
from simulation import task_registry
from simulation.errors import EpisodeGenerationError, HouseGenerationError
from simulation.houses.seeds import house_seed
from simulation.tasks.object_nav import TASK
from simulation.twins.house_twin import Twin, TwinOptions
from simulation.twins.registry import make_twin
from training.models.config import START


@dataclass(frozen=True)
class PolicyInput:
    """A policy's inputs at one step: its own images and state, and the previous-action token."""

    images: Mapping[str, U8Image]
    state: F32Vector
    previous_action: int


@dataclass(frozen=True)
class Recording:
    """One episode: the instruction and the inputs of every step in order."""

    instruction: str
    steps: tuple[PolicyInput, ...]


def policy_input(binding: Binding, observation: Observation, previous_action: int) -> PolicyInput:
    """Makes a policy's input from an observation, through its binding to the robot."""
    return PolicyInput(binding.images(observation), binding.state(observation), previous_action)


def previous_token(sent: Sent, action: int, blocked: int | None) -> int:
    """Token of the previous action: its index, or `blocked` (where there is one) if the robot did not execute it."""
    return previous_action(action, sent.executed, blocked)


def record_episode(
    spec: PolicySpec,
    blocked: int | None,
    *,
    steps: int = 40,
    split: str = "val",
    task: str = TASK,
    body: str = "stretch_re1",
) -> Recording:
    """Records the task's expert until an episode has at least `steps` / 2 steps; keeps at most `steps`.

    Every fifth action is replaced by a step straight ahead, so that the recording contains blocked motions.
    """
    height, width = spec.cameras[0].height, spec.cameras[0].width
    twin = make_twin(body, TwinOptions(height=height, width=width))
    binding = bind(spec, twin.spec)
    longest = Recording("", ())
    with twin:
        for index in range(50):
            try:
                twin.reset(task_registry.task(task).sample(house_seed(split, index), eye=twin.eye))
            except (HouseGenerationError, EpisodeGenerationError):
                continue
            recorded = _play(twin, binding, blocked, steps)
            longest = max(longest, recorded, key=lambda recording: len(recording.steps))
            if len(longest.steps) >= steps // 2:
                break
    return longest


def _play(twin: Twin, binding: Binding, blocked: int | None, steps: int) -> Recording:
    expert, inputs, previous = task_registry.task(twin.episode.task).expert(twin), list[PolicyInput](), START
    while len(inputs) < steps:
        inputs.append(policy_input(binding, twin.observe(), previous))
        action = expert.action()
        if action == "done":
            break
        action = "move_ahead" if len(inputs) % 5 == 0 else action
        index = binding.actions.index(action)
        previous = previous_token(twin.execute(binding.command(index)), index, blocked)
    return Recording(twin.episode.instruction, tuple(inputs))


def random_recording(spec: PolicySpec, instruction: str, *, steps: int, seed: int = 0) -> Recording:
    """Makes a recording with noise instead of images, for comparisons without a simulator; of discrete actions."""
    assert isinstance(spec.actions, DiscreteActions)
    count, rng = len(spec.actions.names), np.random.default_rng(seed)
    made = []
    for step in range(steps):
        images = {
            each.name: rng.integers(0, 256, (each.height, each.width, 3), dtype=np.uint8) for each in spec.cameras
        }
        state = np.zeros(len(spec.state), np.float32)
        made.append(PolicyInput(images, state, START if step == 0 else int(rng.integers(count))))
    return Recording(instruction, tuple(made))
