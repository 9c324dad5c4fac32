"""Facts that a twin knows about an episode, whatever its task; they travel as JSON values, also through ROS."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from simulation.navigation.goals import targets_of
from simulation.navigation.rooms import rooms_at
from simulation.navigation.visibility import nearest_and_seen
from simulation.request import mismatch
from simulation.task_registry import is_success
from simulation.tasks import fetch, pick_up
from simulation.twins.house_twin import Twin


@dataclass(frozen=True)
class EpisodeInfo:
    """State of an episode now. What does not apply to the task is None.

    Attributes:
        not_judged: why the target is not judged; empty where it is.
        collisions: blocked motions.
        path: base positions (x, y) [m].
        rooms_visited: rooms that the path went through.
        rooms: rooms of the house.
        success: whether `done` would be a success; None, as all that follows, where the target is not judged.
        soft_success: with a physical grasp, whether the hand sphere alone would have made it one.
        target_distance_m: from the base to the nearest target in the house.
        target_visible: whether a target is in sight; for tasks that do not end with it in the gripper.
        target_held: whether a target is in the gripper; for tasks that do.
    """

    not_judged: str
    collisions: int
    path: tuple[tuple[float, float], ...]
    rooms_visited: int
    rooms: int
    success: bool | None = None
    soft_success: bool | None = None
    target_distance_m: float | None = None
    target_visible: bool | None = None
    target_held: bool | None = None

    def to_json(self) -> dict[str, Any]:
        """Returns the fields as JSON values."""
        return {**asdict(self), "path": [list(point) for point in self.path]}


def episode_info(twin: Twin, instruction: str = "") -> EpisodeInfo:
    """Reads an episode's state from its twin.

    `instruction` is the one that the policy ran with; empty takes the episode's own. Where it asks for something else
    than the episode's target, `not_judged` states the difference and the target's fields are None.
    """
    reason = mismatch(instruction or twin.episode.instruction, twin.episode)
    return EpisodeInfo(
        not_judged=reason,
        collisions=twin.collisions,
        path=tuple((round(float(x), 3), round(float(y), 3)) for x, y in twin.path),
        rooms_visited=len(rooms_at(twin.house, twin.path)),
        rooms=len(twin.house.rooms),
        **({} if reason else _of_the_target(twin)),
    )


def _of_the_target(twin: Twin) -> dict[str, Any]:
    held = twin.episode.task in (pick_up.TASK, fetch.TASK)
    nearest_m, seen = nearest_and_seen(twin.world, targets_of(twin.house, twin.episode))
    near = math.isfinite(nearest_m)
    return {
        "success": is_success(twin),
        "soft_success": _is_soft_success(twin) if held and twin.options.grasp == "physics" else None,
        "target_distance_m": round(nearest_m, 3) if near else None,
        "target_visible": seen if near and not held else None,
        "target_held": _is_target(twin, twin.held) if held else None,
    }


def _is_soft_success(twin: Twin) -> bool:
    return _is_target(twin, twin.held) or _is_target(twin, twin.reached)


def _is_target(twin: Twin, name: str | None) -> bool:
    return pick_up.is_held(twin.house, name, twin.episode.target)
