"""Success rate of the experts of tasks, under strict contact.

    python -m benchmarks.simulation.experts room_visit room_nav [--houses 60] [--split val] [--body stretch_re1]
    python -m benchmarks.simulation.experts pick_up fetch --grasp physics

Goes through the houses of a split until there are as many episodes as requested; houses without an episode of the task
are counted separately. An episode is `Task.sample(house, 0)` with its published horizon. With contact physics, objects
that the hand sphere alone would have held (CHORES' rule) count as soft success.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass, replace
from itertools import count
from typing import Annotated, Literal

import tyro

from evaluation.statistics.proportions import wilson
from simulation.episode_info import episode_info
from simulation.errors import EpisodeGenerationError, HouseGenerationError
from simulation.expert_length import NOISELESS, played
from simulation.houses.seeds import house_seed
from simulation.task_registry import Task, task
from simulation.twins.house_twin import Twin, TwinOptions
from simulation.twins.registry import make_twin


@dataclass(frozen=True)
class Arguments:
    """Options of the benchmark."""

    tasks: Annotated[tuple[str, ...], tyro.conf.Positional]
    """Names of tasks."""
    houses: int = 60
    """Episodes of each task, one per house."""
    split: str = "val"
    """Split of the houses."""
    first: int = 0
    """Index of the first house."""
    body: str = "stretch_re1"
    """Robot: stretch_re1 or locobot."""
    quiet: bool = False
    """Without noise in the motions."""
    grasp: Literal["sphere", "physics"] = "sphere"
    """Grasp of the Stretch's twin: AI2-THOR's hand sphere, or contact physics."""


def measured(chosen: Task, twin: Twin, arguments: Arguments) -> str:
    """Measures one task; returns a line of the table."""
    expert, without, blocked, soft = chosen.expert(twin), 0, 0, 0
    lengths: list[int | None] = []
    for index in count(arguments.first):
        if len(lengths) == arguments.houses:
            break
        try:
            episode = chosen.sample(house_seed(arguments.split, index), max_steps=chosen.max_steps, eye=twin.eye)
        except (EpisodeGenerationError, HouseGenerationError):
            without += 1
            continue
        lengths.append(played(twin, expert, episode))
        blocked += twin.collisions
        soft += bool(episode_info(twin).soft_success)
    solved = [length for length in lengths if length is not None]
    rate = wilson(len(solved), len(lengths))
    steps = f"{statistics.mean(solved):.0f} / {statistics.median(solved):.0f} / {max(solved)}" if solved else "-"
    success = f"{len(solved)}/{len(lengths)} [{100 * rate.low:.0f}, {100 * rate.high:.0f}] %"
    success += f", {soft} soft" if arguments.grasp == "physics" else ""
    return f"| {chosen.name} | {success} | {steps} | {blocked / len(lengths):.2f} | {without} |"


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
