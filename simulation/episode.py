"""Specification of one episode of a task: everything that is needed to reproduce it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from simulation.errors import EpisodeError


@dataclass(frozen=True)
class EpisodeSpec:
    """One episode.

    Attributes:
        task: name of the task, e.g. "object_nav".
        house_seed: seed of the house (see `simulation.houses.seeds`).
        start: base pose (x [m], y [m], yaw [rad], counter-clockwise) in the world.
        target: category of an object; kind of room (room_nav); noun of the object with an affordance
            (object_nav_afford); empty where there is none (room_visit).
        instruction: given to the policy.
        seed: of the noise in this episode.
        expert_steps: decisions that the expert needs without noise, `done` included; None where it is not known.
        max_steps: the episode ends after this many decisions (600 in CHORES ObjectNav, FLaRe
            online_evaluation/max_episode_configs.py).
        objects: names of the objects of the house that count as target; empty for all of the category `target`.
    """

    task: str
    house_seed: int
    start: tuple[float, float, float]
    target: str
    instruction: str
    seed: int
    expert_steps: int | None = None
    max_steps: int = 600
    objects: tuple[str, ...] = ()

    def with_expert_steps(self, steps: int | None) -> EpisodeSpec:
        """Returns the same episode with the expert's length set."""
        return replace(self, expert_steps=steps)

    def to_json(self) -> dict[str, Any]:
        """Returns plain JSON values, from which `from_json` makes an equal episode."""
        return {**asdict(self), "start": list(self.start), "objects": list(self.objects)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> EpisodeSpec:
        """Inverse of `to_json`; EpisodeError lists missing, unknown or wrong fields."""
        names = {field.name for field in fields(cls)}
        if not isinstance(data, Mapping) or set(data) - names:
            raise EpisodeError(sorted(data) if isinstance(data, Mapping) else data, f"fields {sorted(names)}")
        try:
            x, y, yaw = (float(value) for value in data["start"])
            return cls(**{**data, "start": (x, y, yaw), "objects": _names(data.get("objects", ()))})
        except (KeyError, TypeError, ValueError) as error:
            raise EpisodeError(f"{type(error).__name__} {error}", "the fields of EpisodeSpec") from error


def _names(value: object) -> tuple[str, ...]:
    if not isinstance(value, list | tuple) or not all(isinstance(name, str) for name in value):
        raise TypeError(f"objects {value!r} is not a list of names")
    return tuple(value)
