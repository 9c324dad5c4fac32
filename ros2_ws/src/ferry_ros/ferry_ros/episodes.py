"""Episodes of a body that can begin one and judge it: a twin. Bodies without either are left as they are."""

from __future__ import annotations

import json
from typing import Any

from robots.robot import Robot


def begin(robot: Robot, episode: str, house_seed: int) -> dict[str, Any]:
    """Begins the episode given as JSON, or one sampled from `house_seed`; returns it as JSON values.

    A body that has no episodes (a real one, the kinematic fake) keeps its place, and the answer is empty: a person puts
    it where a trial begins.
    """
    reset = getattr(robot, "reset", None)
    if reset is None:
        return {}
    from simulation.episode import EpisodeSpec
    from simulation.object_nav import sample_episode

    spec = EpisodeSpec.from_json(json.loads(episode)) if episode else sample_episode(house_seed)
    reset(spec)
    return dict(spec.to_json())


def judge(robot: Robot) -> dict[str, Any]:
    """What became of the episode so far: success, collisions, path [m] and pose, as far as the body knows."""
    known: dict[str, Any] = {}
    if hasattr(robot, "success"):
        known["success"] = bool(robot.success())
    if hasattr(robot, "collisions"):
        known["collisions"] = int(robot.collisions)
    if hasattr(robot, "path"):
        known["path"] = [[float(x), float(y)] for x, y in robot.path]
    if hasattr(robot, "pose"):
        known["pose"] = [float(value) for value in robot.pose]
    return known
