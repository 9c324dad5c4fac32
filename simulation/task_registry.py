"""Registry of tasks: each one's episode sampler, success predicate and expert."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Protocol

from robots.embodiment import Embodiment
from simulation.episode import EpisodeSpec
from simulation.errors import EpisodeError
from simulation.experts.object_nav import ObjectNavExpert
from simulation.experts.pick_up import PickUpExpert
from simulation.experts.rooms import RoomNavExpert, RoomVisitExpert
from simulation.robot_models.body import Eye
from simulation.tasks import fetch, object_nav, object_nav_afford, object_nav_rel_attr, pick_up, room_nav, room_visit
from simulation.twins.house_twin import Twin
from simulation.twins.world import World


class TaskState(Protocol):
    """State that a success predicate may read: a twin in the middle of an episode.

    Attributes:
        held: name of the object in the gripper (of `World.house.objects`), None when it is empty.
        marks: base positions (x, y) [m] at which the policy chose `sub_done`.
    """

    held: str | None
    marks: list[tuple[float, float]]

    @property
    def world(self) -> World:
        """House with the robot in it."""

    @property
    def episode(self) -> EpisodeSpec:
        """Episode that is played."""


class Expert(Protocol):
    """Chooses actions from the simulator's ground truth."""

    def action(self) -> str:
        """Returns the name of the policy action to take in the twin's present state."""


class Sample(Protocol):
    """Draws an episode of a task."""

    def __call__(self, house_seed: int, seed: int = 0, *, max_steps: int = ..., eye: Eye = ...) -> EpisodeSpec:
        """Samples an episode; EpisodeGenerationError when the house has none."""


@dataclass(frozen=True)
class Task:
    """One task.

    Attributes:
        name: as in `EpisodeSpec.task`.
        max_steps: decisions in its longest episode as published (FLaRe online_evaluation/max_episode_configs.py).
        sample: draws its episodes.
        solved: success predicate: whether `done` would be a success now.
        expert: makes the expert of a twin.
        needs: action that a robot must have for it; empty where every robot can do it.
    """

    name: str
    max_steps: int
    sample: Sample
    solved: Callable[[TaskState], bool]
    expert: Callable[[Twin], Expert]
    needs: str = ""


def sees_target(now: TaskState) -> bool:
    """One of the episode's targets is visible and near."""
    return object_nav.is_success(now.world, now.episode.target, now.episode.objects)


def holds_target(now: TaskState) -> bool:
    """One of the episode's targets is in the gripper."""
    return pick_up.is_held(now.world.house, now.held, now.episode.target)


def visited_rooms(now: TaskState) -> bool:
    """Every room was marked."""
    return room_visit.is_success(now.world.house, now.marks)


def in_room(now: TaskState) -> bool:
    """The base is in a room of the target kind."""
    return room_nav.is_success(now.world, now.episode.target)


TASKS: Mapping[str, Task] = MappingProxyType(
    {
        entry.name: entry
        for entry in (
            Task(object_nav.TASK, 600, object_nav.sample_episode, sees_target, ObjectNavExpert),
            Task(pick_up.TASK, 600, pick_up.sample_episode, holds_target, PickUpExpert, needs="pickup"),
            Task(fetch.TASK, 600, fetch.sample_episode, holds_target, PickUpExpert, needs="pickup"),
            Task(room_visit.TASK, room_visit.MAX_STEPS, room_visit.sample_episode, visited_rooms, RoomVisitExpert),
            Task(room_nav.TASK, 600, room_nav.sample_episode, in_room, RoomNavExpert),
            Task(object_nav_rel_attr.TASK, 600, object_nav_rel_attr.sample_episode, sees_target, ObjectNavExpert),
            Task(object_nav_afford.TASK, 600, object_nav_afford.sample_episode, sees_target, ObjectNavExpert),
        )
    }
)  # fmt: skip


def is_success(now: TaskState) -> bool:
    """Returns whether `done` would be a success now; EpisodeError lists the known tasks."""
    return task(now.episode.task).solved(now)


def task(name: str) -> Task:
    """Returns the task called `name`; EpisodeError lists the known tasks."""
    if name not in TASKS:
        raise EpisodeError(f"task {name!r}", f"one of {', '.join(TASKS)}")
    return TASKS[name]


def check_tasks(names: Iterable[str], body: Embodiment) -> None:
    """Raises EpisodeError for an unknown task, or one that the robot cannot do."""
    for wanted in map(task, names):
        if wanted.needs and wanted.needs not in body.actions:
            raise EpisodeError(f"task {wanted.name!r} on {body.name}", f"a body with the action '{wanted.needs}'")
