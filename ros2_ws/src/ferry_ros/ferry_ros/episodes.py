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
    if not hasattr(robot, "eye"):  # a table: it has no houses, only places for its objects
        reset(house_seed)
        return {"seed": house_seed}
    from simulation.episode import EpisodeSpec
    from simulation.object_nav import sample_episode

    spec = EpisodeSpec.from_json(json.loads(episode)) if episode else sample_episode(house_seed, eye=robot.eye)
    reset(spec)
    return dict(spec.to_json())


def judge(robot: Robot) -> dict[str, Any]:
    """What became of the episode so far, as far as the body knows: a twin all of it, another body its pose at most."""
    known: dict[str, Any] = {}
    if hasattr(robot, "pose"):
        known["pose"] = [float(value) for value in robot.pose]
    if hasattr(robot, "success"):
        known.update(_judge_twin(robot))
    return known


def _judge_twin(twin: Any) -> dict[str, Any]:
    from simulation.object_nav import nearest_and_seen

    nearest_m, seen = nearest_and_seen(twin.world, twin.house.objects_of(twin.episode.target))
    return {
        "success": bool(twin.success()),
        "collisions": int(twin.collisions),
        "path": [[round(float(a), 3), round(float(b), 3)] for a, b in twin.path],
        "target_distance_m": round(nearest_m, 3),
        "target_visible": seen,
    }
