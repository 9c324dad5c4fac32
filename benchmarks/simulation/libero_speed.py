"""How fast LIBERO's tasks are stepped: Ferry's own loop, with and without sleeping bodies, beside robosuite's.

    python -m benchmarks.simulation.libero_speed --actions 200 --rounds 3

One core, no images. The loops take turns in one run, each from the same initial state with the same actions, which move
the hand about where it begins; medians of the rounds, actions per CPU second.
"""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt
import tyro

from benchmarks.machine import cpu
from simulation.libero import preparation
from simulation.libero.world import LiberoWorld

TASKS = (("libero_spatial", 0), ("libero_object", 9), ("libero_goal", 6))


@dataclass(frozen=True)
class Options:
    """Steps a task of each suite."""

    actions: int = 200
    """In each round."""
    rounds: int = 3
    """The loops take turns so often."""


def rate(step: Callable[[npt.NDArray[np.float64]], Any], actions: npt.NDArray[np.float64]) -> float:
    """Actions per CPU second."""
    began_s = time.process_time()
    for action in actions:
        step(action.copy())
    return len(actions) / (time.process_time() - began_s)


def main() -> None:
    """Prints a table."""
    args = tyro.cli(Options, description=__doc__)
    print(f"machine: {cpu()}, load {os.getloadavg()[0]:.1f}, {platform.platform()}\n")
    print("| task | own, sleeping bodies | own | robosuite | ratio |\n|---|---|---|---|---|")
    for suite, index in TASKS:
        asleep, awake, theirs = measured(suite, index, args)
        print(
            f"| {suite} {index} | {asleep:.0f}/s | {awake:.0f}/s | {theirs:.1f}/s | {asleep / theirs:.0f} |", flush=True
        )


def measured(suite: str, index: int, args: Options) -> tuple[float, float, float]:
    """Median rates of the three loops."""
    actions = np.random.default_rng(0).uniform(-0.5, 0.5, (args.actions, 7))
    state = preparation.initial_states(suite, index)[0]
    env = preparation.environment(suite, index)
    env.env.ignore_done = True
    with TemporaryDirectory() as folder:
        preparation.prepare(suite, index, Path(folder))
        worlds = LiberoWorld(Path(folder)), LiberoWorld(Path(folder), sleep=False)
    rates: list[list[float]] = [[], [], []]
    for _ in range(args.rounds):
        for world, found in zip(worlds, rates):
            world.reset(state)
            world.step(np.zeros(7))  # compiled by then
            found.append(rate(world.step, actions))
        env.set_state(state)
        rates[2].append(rate(env.env.step, actions))
    asleep, awake, theirs = map(statistics.median, rates)
    return asleep, awake, theirs


if __name__ == "__main__":
    main()
