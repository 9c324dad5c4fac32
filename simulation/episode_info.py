"""What a twin knows of how an episode went, whatever its task; plain values, since a twin may be behind ROS."""

from __future__ import annotations

import math
from typing import Any

from simulation.navigation.goals import targets_of
from simulation.navigation.rooms import rooms_at
from simulation.navigation.visibility import nearest_and_seen
from simulation.request import mismatch
from simulation.task_registry import is_success
from simulation.tasks import fetch, pick_up
from simulation.twins.house_twin import Twin

OF_THE_TARGET = ("success", "soft_success", "target_distance_m", "target_visible", "target_held")


def judgement(twin: Twin, instruction: str = "") -> dict[str, Any]:
    """The situation of a twin now, as JSON values.

    `instruction` is what the robot was told; empty takes the episode's own words. Where it asks for something else than
    the episode's target, "not_judged" says so, and nothing is said of that target; it is empty otherwise.
    "success" (whether `done` would be one), "collisions", "path" (base positions [m]), "rooms_visited" and "rooms" (how
    many the path went through, and how many there are). Of a task with targets in the house also "target_distance_m"
    and "target_visible"; of one whose target is to be held "target_held" instead of the latter, and with a physical
    grasp "soft_success": whether the hand sphere alone would have made it one. What does not apply is None.
    """
    why_not = mismatch(instruction or twin.episode.instruction, twin.episode)
    known = {
        "not_judged": why_not,
        "collisions": twin.collisions,
        "path": [[round(float(x), 3), round(float(y), 3)] for x, y in twin.path],
        "rooms_visited": len(rooms_at(twin.house, twin.path)),
        "rooms": len(twin.house.rooms),
    }
    return known | (dict.fromkeys(OF_THE_TARGET) if why_not else _of_the_target(twin))


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
