"""Bundles of the Piper's table-tops in the training's world, compared in pairs: those of `ferry train evaluate-vla`.

    python -m benchmarks.trials.tabletop_pairs --bundles policies/tabletop_piper_mini_sft policies/tabletop_piper_mini

Greedy, strict success on held-out states, plain and randomised. It needs no checkpoint, so that what ships can be
compared with what shipped before. A row for each task; then every bundle against the first in the same states.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import mujoco
import numpy as np
import onnxruntime
import tyro

from evaluation.statistics.pairs import paired
from policy_server.bundle import PolicyBundle
from robots.spec import ContinuousActions
from simulation.demonstrations.world_steps import WorldSteps
from simulation.tabletop.states import draw
from simulation.tabletop.task import TASKS
from simulation.tabletop.world import TabletopWorld
from training.closed_loop.evaluate import wilson

MOST_TOKENS = 64


@dataclass(frozen=True)
class Options:
    """What is compared, in which states."""

    bundles: tuple[Path, ...]
    """Folders; the first is what the others are compared with."""
    states: int = 100
    """Held out, divided among the tasks."""
    states_seed: int = 21
    """Of the states, as in `ferry train evaluate-vla`."""
    randomise: tuple[float, ...] = (0.0, 1.0)
    """Fractions of the states with other colours, light, camera, mass and friction: each is measured."""
    marked: tuple[Path, ...] = ()
    """Bundles that see the site between the fingertips, with which they were trained."""
    out: Path | None = None
    """JSON file for the outcome of each state."""


class BundleInWorld:
    """A bundle that plays worlds of the training."""

    def __init__(self, folder: Path, marked: bool) -> None:
        self.bundle, self._group = PolicyBundle.load(folder, threads=1), 0 if marked else 4
        file = folder / self.bundle.manifest.graphs["policy"].file
        settings = onnxruntime.SessionOptions()
        settings.intra_op_num_threads = 1
        self._graph = onnxruntime.InferenceSession(file, settings)
        actions = self.bundle.manifest.spec.actions
        assert isinstance(actions, ContinuousActions)
        self._rows = actions.execute_rows or actions.horizon

    def play(self, world: TabletopWorld, state: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> bool:
        """Plays one episode; returns whether the task was done."""
        site = mujoco.mj_name2id(world.scene.model, mujoco.mjtObj.mjOBJ_SITE, "fingertips")
        world.scene.model.site_group[site] = self._group
        words = self.bundle.encode_text(world.instruction, MOST_TOKENS)
        steps = WorldSteps(world, state)
        for _ in steps:
            seen = world.observe()
            feed = {"image": seen.image[None], "words": words, "proprio": seen.proprio[None]}
            rows = self._graph.run(["actions"], feed)[0][0, : self._rows]
            steps.act_rows(rows)
        return steps.success


def outcomes(args: Options, bundle: BundleInWorld, randomise: float) -> list[bool]:
    """Plays all states; state n is of task n % 4."""
    worlds = [TabletopWorld(task) for task in TASKS.values()]
    done = []
    for number in range(args.states):
        index = number % len(worlds)
        rng = np.random.default_rng((args.states_seed, number))
        state = draw(list(TASKS.values())[index], rng, held_out=True, randomise=randomise)
        done.append(bundle.play(worlds[index], state))
    for world in worlds:
        world.close()
    return done


def main() -> None:
    """Prints the tables."""
    args = tyro.cli(Options, description=__doc__)
    kept: dict[str, dict[str, list[bool]]] = {}
    for randomise in args.randomise:
        print(f"\nrandomised fraction {randomise:g}\n\n| bundle | all | {' | '.join(TASKS)} |")
        print(f"|---|---|{'---|' * len(TASKS)}")
        found = kept[f"{randomise:g}"] = {}
        for folder in args.bundles:
            done = found[str(folder)] = outcomes(args, BundleInWorld(folder, folder in args.marked), randomise)
            parts = (done, *(done[number :: len(TASKS)] for number in range(len(TASKS))))
            print(f"| {folder} | {' | '.join(map(cell, parts))} |", flush=True)
            if args.out is not None:
                args.out.write_text(json.dumps(kept))
        first, *others = args.bundles
        for other in others:
            pairs = paired(found[str(other)], found[str(first)])
            print(
                f"\n{other} alone {pairs.only_first}, {first} alone {pairs.only_second}: "
                f"{100 * pairs.difference.value:+.0f} points [{100 * pairs.difference.low:+.0f}, "
                f"{100 * pairs.difference.high:+.0f}], exact McNemar p {pairs.p_value:.2g}"
            )


def cell(done: list[bool]) -> str:
    """Success with its 95 % Wilson interval."""
    low, high = wilson(sum(done), len(done))
    return f"{sum(done)} of {len(done)} [{100 * low:.1f}, {100 * high:.1f}]"


if __name__ == "__main__":
    main()
