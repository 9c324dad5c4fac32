"""PoliFormer's dense reward for tasks that end near an object: every metre closer to the target than ever before.

PoliFormer training/online/reward/reward_shaper.py, `ObjectNavRewardShaper`: the straight distance between the middle
of the robot and that of the nearest instance of the target ("l2", through walls; the geodesic one is there but not
used), weight 1. Over an episode the sum is the first distance minus the least one, whatever way was taken. With it go
a step of -0.01 and a success of 10 (its training/online/dinov2_vits_tsfm_rgb_augment_objectnav.py).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from simulation.object_nav import targets_of
from simulation.twin import Twin
from training.errors import ConfigError

MIDDLE_M = 0.901
"""Height of the robot's middle (AI2-THOR's Stretch: y of its agent; FLaRe environment/stretch_controller.py)."""


def distance_m(twin: Twin) -> float:
    """Straight distance [m] from the robot's middle to that of the nearest instance of the target.

    Raises:
        ConfigError: the task has no target among the objects of the house.
    """
    things = targets_of(twin.house, twin.episode)
    if not things:
        task = f"'{twin.episode.task}', whose target is {twin.episode.target!r}"
        raise ConfigError("reward.shaping", f"task {task}", "one whose target is a category of the house")
    x, y, _ = twin.pose
    return min(math.dist((x, y, MIDDLE_M), thing.position_m) for thing in things)


def closer(distances_m: Sequence[float]) -> npt.NDArray[np.float64]:
    """How much closer than ever before each of T actions brought the robot, (T,) [m], from T + 1 distances."""
    least = np.minimum.accumulate(np.asarray(distances_m, np.float64))
    return least[:-1] - least[1:]
