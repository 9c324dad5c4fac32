"""A recorded episode: what a policy was shown step by step, so that two implementations can be compared along it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from robots.binding import Binding, bind
from robots.embodiments.stretch_re1 import SPOC_ACTIONS
from robots.observation import Observation
from robots.robot import Sent
from robots.spec import F32Vector, PolicySpec, U8Image
from simulation import task_registry
from simulation.errors import EpisodeGenerationError, HouseGenerationError
from simulation.houses.seeds import house_seed
from simulation.tasks.object_nav import TASK
from simulation.twins.house_twin import Twin, TwinOptions
from simulation.twins.registry import make_twin
from training.models.config import START


@dataclass(frozen=True)
class Shown:
    """What a policy is shown at one step: its own images and state, and the previous-action token."""

    images: Mapping[str, U8Image]
    state: F32Vector
    previous_action: int


@dataclass(frozen=True)
class Recording:
    """One episode: the instruction, and every step in order."""

    instruction: str
    steps: tuple[Shown, ...]


def shown(binding: Binding, observation: Observation, previous_action: int) -> Shown:
    """What a policy is shown of an observation, through its binding to the body."""
    return Shown(binding.images(observation), binding.state(observation), previous_action)


def previous_token(sent: Sent, action: str, blocked: int | None) -> int:
    """The token for the last action: its index, or `blocked` when the body did not execute it and there is a token."""
    return SPOC_ACTIONS.index(action) if sent.executed or blocked is None else blocked


def record_episode(
    spec: PolicySpec,
    blocked: int | None,
    *,
    steps: int = 40,
    split: str = "val",
    task: str = TASK,
    body: str = "stretch_re1",
) -> Recording:
    """Plays a task's expert until an episode of at least `steps` / 2 steps was seen; keeps at most `steps`.

    Every fifth action is a step straight ahead instead, so that bumps are in the recording.
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
            one = _play(twin, binding, blocked, steps)
            longest = max(longest, one, key=lambda recording: len(recording.steps))
            if len(longest.steps) >= steps // 2:
                break
    return longest


def _play(twin: Twin, binding: Binding, blocked: int | None, steps: int) -> Recording:
    expert, seen, previous = task_registry.task(twin.episode.task).expert(twin), list[Shown](), START
    while len(seen) < steps:
        seen.append(shown(binding, twin.observe(), previous))
        action = expert.action()
        if action == "done":
            break
        action = "move_ahead" if len(seen) % 5 == 0 else action
        sent = twin.execute(binding.command(SPOC_ACTIONS.index(action)))
        previous = previous_token(sent, action, blocked)
    return Recording(twin.episode.instruction, tuple(seen))


def random_recording(spec: PolicySpec, instruction: str, *, steps: int, seed: int = 0) -> Recording:
    """Noise instead of pictures, for comparisons where no simulator is at hand."""
    rng = np.random.default_rng(seed)
    made = []
    for step in range(steps):
        images = {one.name: rng.integers(0, 256, (one.height, one.width, 3), dtype=np.uint8) for one in spec.cameras}
        state = np.zeros(len(spec.state), np.float32)
        made.append(Shown(images, state, START if step == 0 else int(rng.integers(len(SPOC_ACTIONS.names)))))
    return Recording(instruction, tuple(made))
