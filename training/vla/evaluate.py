"""`ferry train evaluate-vla`: success on held-out states of LIBERO's or the Piper's tasks, and of perturbed ones.

The states are the same ones for every policy, so that policies are compared in pairs. Results of a bundle, over REST or
ROS 2, come from benchmarks/trials/panda_ways.py; this is the fast evaluation of a checkpoint, in several processes or,
with `--ray`, on a cluster.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import tyro

from simulation.libero.perturbation import KINDS, suite_of
from training.closed_loop.evaluate import wilson
from training.errors import ConfigError
from training.runtime.checkpoint import file_sha256, load
from training.runtime.interrupt import stop_request
from training.runtime.options import plain
from training.runtime.progress import Bar
from training.runtime.weights import Weights, arrays
from training.vla.policy.checkpoint import KIND, policy_from
from training.vla.policy.model import VlaPolicy
from training.vla.rollout.held_out import by_task, held_out_successes
from training.vla.rollout.pool import simulators
from training.vla.rollout.pool_options import PoolOptions
from training.vla.rollout.rollout import RolloutWorker
from training.vla.rollout.task_choice import tasks_of
from training.vla.rollout.task_options import TaskOptions
from training.vla.rollout.world import Tasks

ALL = "all"
"""In place of the names of all perturbations of a suite."""

RANDOMISED = "randomised"
"""Perturbation of table-tops: other colours, light, camera, mass and friction."""

MEANINGS = {**KINDS, RANDOMISED: "other colours, light, camera, mass and friction"}


@dataclass(frozen=True)
class EvaluateVlaOptions(PoolOptions):
    """Measures success with the most probable tokens on states that nobody trains on."""

    checkpoint: Path = Path("runs/vla/grpo/last.pt")
    tasks: TaskOptions = field(default_factory=TaskOptions)
    perturb: tuple[str, ...] = ()
    """LIBERO-PRO's perturbations of the suite, measured beside it: swap, object, lan, task; all; of libero_object also
    x0.1 to x0.5 and y0.1 to y0.5. Of table-tops: randomised."""
    states: int = 200
    """Of each suite, divided among its tasks."""
    states_seed: int = 21
    """Of the states; 20 has those of the evaluations in `ferry train grpo`, by which nobody should choose."""
    rows: int = 0
    """Actions executed of each chunk before the policy looks again; 0 for those of the training."""
    out: Path | None = None
    """JSON file for the results; by default, next to the checkpoint."""

    @property
    def file(self) -> Path:
        """Where the results are written."""
        return self.out or self.checkpoint.with_name(f"{self.tasks.suite}_seed{self.states_seed}.json")

    @property
    def kinds(self) -> tuple[str, ...]:
        """The suite itself, "", and its perturbations."""
        every = (RANDOMISED,) if self.tasks.is_tabletop else KINDS
        return ("", *(every if ALL in self.perturb else self.perturb))


@dataclass(frozen=True)
class SuiteResult:
    """Success on one suite.

    Attributes:
        suite: its name.
        perturbation: one of LIBERO-PRO's; empty for the suite as it is.
        success, low, high: rate with its 95 % Wilson interval.
        states: number of states.
        tasks: (successes, states) of each task.
        outcomes: of each state, in the order of states: two policies are compared in pairs.
    """

    suite: str
    perturbation: str
    success: float
    low: float
    high: float
    states: int
    tasks: Mapping[str, tuple[int, int]]
    outcomes: tuple[bool, ...]

    @classmethod
    def of(cls, suite: str, perturbation: str, outcomes: Sequence[bool], names: Sequence[str]) -> SuiteResult:
        """Computes it from the outcomes of states that went round the tasks."""
        low, high = wilson(sum(outcomes), len(outcomes))
        rate = sum(outcomes) / len(outcomes)
        of_tasks = by_task(outcomes, names)
        return cls(suite, perturbation, rate, low, high, len(outcomes), of_tasks, tuple(outcomes))


def main(argv: Sequence[str]) -> int:
    """Runs `ferry train evaluate-vla`."""
    options = tyro.cli(EvaluateVlaOptions, args=list(argv), prog="ferry train evaluate-vla")
    with stop_request() as stopping:
        results = evaluate(options, tasks_of, stopping)
    print(table(results))
    print(f"\n{options.file}")
    return 0


def evaluate(
    options: EvaluateVlaOptions,
    tasks: Callable[[TaskOptions, int], Tasks],
    stopping: Callable[[], bool] = lambda: False,
) -> list[SuiteResult]:
    """Measures a checkpoint on a suite and its perturbations, and writes the results after each.

    Args:
        options: see there.
        tasks: makes a suite's tasks with images of so many pixels along each side.
        stopping: once True, it raises KeyboardInterrupt; finished suites are in the file.

    Raises:
        ConfigError: no state is asked for, or a suite has no such task.
        CheckpointError: the checkpoint is missing, damaged, or of another kind.
        LiberoMissing: LIBERO is not installed, or has no such suite.
        ClusterError: `--ray`: Ray is missing, or its cluster cannot be reached.
        WorkersLost: simulators die faster than they can be replaced; finished suites are in the file.
    """
    payload = load(options.checkpoint, KIND)
    policy = policy_from(payload, options.checkpoint)
    rows = options.rows or payload.get("training", {}).get("rows", policy.config.chunk)
    if options.states < 1 or not 1 <= rows <= policy.config.chunk:
        raise ConfigError("states, rows", (options.states, rows), f"at least 1, and 1 to {policy.config.chunk}")
    weights, results = arrays(policy.state_dict()), list[SuiteResult]()
    made = {kind: tasks(_of_suite(options.tasks, kind), policy.config.image_size) for kind in options.kinds}
    with Bar("evaluate", options.states * len(made), "states") as bar:
        for kind, some in made.items():
            outcomes = _outcomes(options, policy, weights, some, rows, stopping, bar.advance)
            if stopping():
                raise KeyboardInterrupt
            suite = _of_suite(options.tasks, kind).suite
            results.append(SuiteResult.of(suite, kind, outcomes, some.names))
            bar.note(**{results[-1].suite: f"{results[-1].success:.0%}"})
            _write(options, rows, results)
    return results


def _of_suite(options: TaskOptions, kind: str) -> TaskOptions:
    if not options.is_tabletop:
        return replace(options, suite=suite_of(options.suite, kind))
    if kind not in ("", RANDOMISED):
        raise ConfigError("perturbation of table-tops", repr(kind), repr(RANDOMISED))
    return replace(options, randomise=1.0 if kind == RANDOMISED else options.randomise)


def _outcomes(
    options: EvaluateVlaOptions,
    policy: VlaPolicy,
    weights: Weights,
    tasks: Tasks,
    rows: int,
    stopping: Callable[[], bool],
    report: Callable[[int], None],
) -> list[bool]:
    """Plays a suite in workers of its own: each holds a world for every task."""
    with simulators(partial(RolloutWorker, policy.config, tasks), options) as pool:
        return held_out_successes(
            pool, weights, rows, options.states, len(tasks.names), stopping, seed=options.states_seed, report=report
        )


def _write(options: EvaluateVlaOptions, rows: int, results: Sequence[SuiteResult]) -> None:
    """Writes the results, whole or not at all."""
    content: dict[str, Any] = {
        "checkpoint": str(options.checkpoint),
        "checkpoint_sha256": file_sha256(options.checkpoint),
        "tasks": plain(asdict(options.tasks)),
        "states_seed": options.states_seed,
        "rows": rows,
        "suites": [asdict(one) for one in results],
    }
    options.file.parent.mkdir(parents=True, exist_ok=True)
    part = options.file.with_name(f".{options.file.name}.part")
    part.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    os.replace(part, options.file)


def table(results: Sequence[SuiteResult]) -> str:
    """Returns the results in Markdown: a row for each suite, and one for each task where there are several."""
    lines = ["| tasks | perturbation | success | 95 % interval | states |", "|---|---|---|---|---|"]
    for one in results:
        kind = one.perturbation and f"{one.perturbation}: {MEANINGS.get(one.perturbation, 'the object is elsewhere')}"
        lines.append(f"| {one.suite} | {kind} | {one.success:.1%} | [{one.low:.1%}, {one.high:.1%}] | {one.states} |")
        for name, (solved, played) in one.tasks.items() if len(one.tasks) > 1 else ():
            low, high = wilson(solved, played)
            rate = solved / played if played else float("nan")
            lines.append(f"| {name} | | {rate:.1%} | [{low:.1%}, {high:.1%}] | {played} |")
    return "\n".join(lines)
