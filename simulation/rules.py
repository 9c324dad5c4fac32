"""When an episode is a success, for every task: rules over what a twin knows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Protocol

from simulation.episode import EpisodeError, EpisodeSpec
from simulation.tasks import fetch, object_nav, object_nav_afford, object_nav_rel_attr, pick_up, room_nav, room_visit
from simulation.twins.world import World


class Situation(Protocol):
    """What a rule may ask: a twin in the middle of an episode.

    Attributes:
        held: name of the object in the gripper (of `World.house.objects`), None when it is empty.
        marks: base positions (x, y) [m] at which `sub_done` was said.
    """

    held: str | None
    marks: list[tuple[float, float]]

    @property
    def world(self) -> World:
        """The house with the robot in it."""

    @property
    def episode(self) -> EpisodeSpec:
        """What is to be done."""


Rule = Callable[[Situation], bool]
"""Whether `done` would be a success now."""


def sees_target(now: Situation) -> bool:
    """One of the episode's targets is in sight and near."""
    return object_nav.is_success(now.world, now.episode.target, now.episode.objects)


RULES: Mapping[str, Rule] = MappingProxyType(
    {
        object_nav.TASK: sees_target,
        pick_up.TASK: lambda now: pick_up.is_held(now.world.house, now.held, now.episode.target),
        fetch.TASK: lambda now: pick_up.is_held(now.world.house, now.held, now.episode.target),
        object_nav_rel_attr.TASK: sees_target,
        object_nav_afford.TASK: sees_target,
        room_visit.TASK: lambda now: room_visit.is_success(now.world.house, now.marks),
        room_nav.TASK: lambda now: room_nav.is_success(now.world, now.episode.target),
    }
)


def is_success(now: Situation) -> bool:
    """The rule of the episode's task; EpisodeError names the tasks there are."""
    task = now.episode.task
    if task not in RULES:
        raise EpisodeError(f"task {task!r}", f"one of {', '.join(RULES)}")
    return RULES[task](now)
