"""Episodes of a body that can begin one and judge it: a twin. Bodies without either are left as they are."""

from __future__ import annotations

import json
from typing import Any

from robots.robot import Robot


def begin(robot: Robot, episode: str, house_seed: int, task: str = "object_nav") -> dict[str, Any]:
    """Begins the episode given as JSON, or one of `task` sampled from `house_seed`; returns it as JSON values.

    A body that has no episodes (a real one, the kinematic fake) keeps its place, and the answer is empty: a person puts
    it where a trial begins.
    """
    reset = getattr(robot, "reset", None)
    if reset is None:
        return {}
    if not hasattr(robot, "eye"):  # a table: it has no houses, only places for its objects
        reset(house_seed)
        return {"seed": house_seed}
    from simulation import tasks
    from simulation.episode import EpisodeSpec

    drawn = not episode
    spec = tasks.task(task).sample(house_seed, eye=robot.eye) if drawn else EpisodeSpec.from_json(json.loads(episode))
    tasks.check_tasks((spec.task,), robot.spec)
    reset(spec)
    return dict(spec.to_json())


def judge(robot: Robot) -> dict[str, Any]:
    """What became of the episode so far, as far as the body knows: a twin all of it, another body its pose at most."""
    known: dict[str, Any] = {}
    if hasattr(robot, "pose"):
        known["pose"] = [float(value) for value in robot.pose]
    if hasattr(robot, "success"):
        from simulation.judgement import judgement

        twin: Any = robot
        known.update(judgement(twin))
    return known
