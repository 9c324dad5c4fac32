"""Rewards of an episode: success, steps, collisions, and a dense one for tasks that end near an object (PoliFormer).

The dense reward is for every metre closer to the target than ever before. PoliFormer
training/online/reward/reward_shaper.py, `ObjectNavRewardShaper`: the straight distance between the middle of the robot
and that of the nearest instance of the target ("l2", through walls; the geodesic one is there but not used), weight 1.
Over an episode the sum is the first distance minus the least one, whatever path was taken. It is used with a step of
-0.01 and a success of 10 (its training/online/dinov2_vits_tsfm_rgb_augment_objectnav.py).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from simulation.navigation.goals import targets_of
from simulation.tasks import object_nav, object_nav_afford, object_nav_rel_attr
from simulation.twins.house_twin import Twin
from training.errors import ConfigError

TASKS = (object_nav.TASK, object_nav_rel_attr.TASK, object_nav_afford.TASK)
"""Tasks whose episodes end near an object. (FLaRe shapes Fetch and RoomVisit otherwise.)"""

MIDDLE_M = 0.901
"""Height of the robot's centre (AI2-THOR's Stretch: y of its agent; FLaRe environment/stretch_controller.py)."""


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


def rewards(options: RewardOptions, blocked: Sequence[bool], steps: int, success: bool) -> npt.NDArray[np.float64]:
    """Computes the rewards (T,) of an episode of `steps` decisions; `blocked` has one entry per executed command."""
    result = np.full(steps, options.step, np.float64)
    result[: len(blocked)] += options.collision * np.array(blocked, np.float64)
    result[-1] += options.success * success
    return result


def check_shaping(weight: float, tasks: Iterable[str]) -> None:
    """Raises ConfigError for a weight of the dense reward in a task that it is not made for."""
    for task in tasks:
        if weight and task not in TASKS:
            raise ConfigError("reward.shaping", f"{weight} in task '{task}'", f"0, or one of {', '.join(TASKS)}")


def distance_m(twin: Twin) -> float:
    """Measures the straight distance [m] from the robot's centre to that of the nearest instance of the target.

    Raises:
        ConfigError: the house has no object of that category.
    """
    things = targets_of(twin.house, twin.episode)
    if not things:
        task = f"'{twin.episode.task}', whose target is {twin.episode.target!r}"
        raise ConfigError("reward.shaping", f"task {task}", "one whose target is a category of the house")
    x, y, _ = twin.pose
    return min(math.dist((x, y, MIDDLE_M), thing.position_m) for thing in things)


def closer(distances_m: Sequence[float]) -> npt.NDArray[np.float64]:
    """Computes the decrease of the minimum distance by each of T actions, (T,) [m], from T + 1 distances."""
    least = np.minimum.accumulate(np.asarray(distances_m, np.float64))
    return least[:-1] - least[1:]
