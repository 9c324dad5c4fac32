"""How often the expert of a task solves its episodes, under strict contact.

    python benchmarks/experts.py room_visit room_nav [--houses 60] [--split val] [--body stretch_re1] [--quiet]
    python benchmarks/experts.py pick_up fetch --grasp physics

House after house of a split until there are as many episodes as asked for; a house without an episode of the task is
counted beside them. "An episode of the task" is `Task.sample(house, 0)` with its published horizon. With contact
physics, what the hand sphere alone would have held (CHORES' rule) is counted as soft success beside what is held.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass, replace
from itertools import count
from typing import Annotated, Literal

import tyro

from evaluation.reporting.statistics import wilson
from simulation.episode import EpisodeSpec
from simulation.episode_info import episode_info
from simulation.errors import EpisodeGenerationError, HouseGenerationError
from simulation.expert_length import NOISELESS
from simulation.houses.seeds import house_seed
from simulation.task_registry import Expert, Task, is_success, task
from simulation.twins.house_twin import Twin, TwinOptions
from simulation.twins.registry import make_twin


@dataclass(frozen=True)
class Arguments:
    """What to measure."""

    tasks: Annotated[tuple[str, ...], tyro.conf.Positional]
    """Names of tasks."""
    houses: int = 60
    """Episodes of each task, one a house."""
    split: str = "val"
    """Whose houses."""
    first: int = 0
    """Index of the first house."""
    body: str = "stretch_re1"
    """Who plays."""
    quiet: bool = False
    """Without noise in its motions."""
    grasp: Literal["sphere", "physics"] = "sphere"
    """How the Stretch's twin grasps: AI2-THOR's hand sphere, or contact physics."""


def played(twin: Twin, expert: Expert, episode: EpisodeSpec) -> int | None:
    """Decisions until a `done` that was a success; None for a failure."""
    twin.reset(episode)
    for step in range(1, episode.max_steps + 1):
        action = expert.action()
        if action == "done":
            return step if is_success(twin) else None
        twin.execute(twin.spec.actions[action])
    return None


def measured(one: Task, twin: Twin, arguments: Arguments) -> str:
    """A line of the table."""
    expert, without, blocked, soft = one.expert(twin), 0, 0, 0
    lengths: list[int | None] = []
    for index in count(arguments.first):
        if len(lengths) == arguments.houses:
            break
        try:
            episode = one.sample(house_seed(arguments.split, index), max_steps=one.max_steps, eye=twin.eye)
        except (EpisodeGenerationError, HouseGenerationError):
            without += 1
            continue
        lengths.append(played(twin, expert, episode))
        blocked += twin.collisions
        soft += bool(episode_info(twin).soft_success)
    solved = [length for length in lengths if length is not None]
    rate = wilson(len(solved), len(lengths))
    steps = f"{statistics.mean(solved):.0f} / {statistics.median(solved):.0f} / {max(solved)}" if solved else "-"
    share = f"{len(solved)}/{len(lengths)} [{100 * rate.low:.0f}, {100 * rate.high:.0f}] %"
    share += f", {soft} soft" if arguments.grasp == "physics" else ""
    return f"| {one.name} | {share} | {steps} | {blocked / len(lengths):.2f} | {without} |"


def main(arguments: Arguments) -> None:
    """Prints a row for each task."""
    print("| task | solved, 95 % interval | steps mean / median / longest | blocked an episode | houses without one |")
    print("|---|---|---|---|---|")
    options = replace(NOISELESS if arguments.quiet else TwinOptions(), grasp=arguments.grasp)
    with make_twin(arguments.body, options) as twin:
        for name in arguments.tasks:
            print(measured(task(name), twin, arguments), flush=True)


if __name__ == "__main__":
    main(tyro.cli(Arguments))
