"""The tasks by name: where their episodes come from, and who shows how they are done."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Protocol

from robots.embodiment import Embodiment
from simulation.episode import EpisodeError, EpisodeSpec
from simulation.experts.object_nav import ObjectNavExpert
from simulation.experts.pick_up import PickUpExpert
from simulation.experts.rooms import RoomNavExpert, RoomVisitExpert
from simulation.robot_models.body import Eye
from simulation.tasks import fetch, object_nav, object_nav_afford, object_nav_rel_attr, pick_up, room_nav, room_visit
from simulation.twins.house_twin import Twin


class Expert(Protocol):
    """Looks at the simulator's truth and says what to do next."""

    def action(self) -> str:
        """Name of the policy action to take in the twin's present state."""


class Sample(Protocol):
    """Draws an episode of a task."""

    def __call__(self, house_seed: int, seed: int = 0, *, max_steps: int = ..., eye: Eye = ...) -> EpisodeSpec:
        """EpisodeGenerationError when the house has no such episode."""


@dataclass(frozen=True)
class Task:
    """One task; `simulation.rules` says when it is solved.

    Attributes:
        name: as `EpisodeSpec.task` says it.
        max_steps: decisions in its longest episode as published (FLaRe online_evaluation/max_episode_configs.py).
        sample: draws its episodes.
        expert: makes the expert of a twin.
        needs: an action without which a body cannot do it; empty where every body can.
    """

    name: str
    max_steps: int
    sample: Sample
    expert: Callable[[Twin], Expert]
    needs: str = ""


TASKS: Mapping[str, Task] = MappingProxyType(
    {
        one.name: one
        for one in (
            Task(object_nav.TASK, 600, object_nav.sample_episode, ObjectNavExpert),
            Task(pick_up.TASK, 600, pick_up.sample_episode, PickUpExpert, needs="pickup"),
            Task(fetch.TASK, 600, fetch.sample_episode, PickUpExpert, needs="pickup"),
            Task(room_visit.TASK, room_visit.MAX_STEPS, room_visit.sample_episode, RoomVisitExpert),
            Task(room_nav.TASK, 600, room_nav.sample_episode, RoomNavExpert),
            Task(object_nav_rel_attr.TASK, 600, object_nav_rel_attr.sample_episode, ObjectNavExpert),
            Task(object_nav_afford.TASK, 600, object_nav_afford.sample_episode, ObjectNavExpert),
        )
    }
)  # fmt: skip


def task(name: str) -> Task:
    """The task called `name`; EpisodeError names the ones there are."""
    if name not in TASKS:
        raise EpisodeError(f"task {name!r}", f"one of {', '.join(TASKS)}")
    return TASKS[name]


def check_tasks(names: Iterable[str], body: Embodiment) -> None:
    """Raises EpisodeError for a name that no task has, or a task that the body cannot do."""
    for one in map(task, names):
        if one.needs and one.needs not in body.actions:
            raise EpisodeError(f"task {one.name!r} on {body.name}", f"a body with the action '{one.needs}'")
