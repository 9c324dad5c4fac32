"""One step of GRPO, taken apart: which groups are kept, what an update does, and what it does not depend on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from checkpoints import copied, same
from reach_world import ReachTasks
from vla_policies import grpo_options, rollouts_of, small_policy, write_policy

from training.rl.log import Log
from training.runtime.weights import arrays
from training.vla.grpo.batch import Batch
from training.vla.grpo.group_rollouts import Groups, Result
from training.vla.grpo.grpo import Trainer
from training.vla.grpo.loss import token_log_p
from training.vla.rollout.held_out import held_out_successes
from training.vla.rollout.rollout import RolloutJob, RolloutWorker, Trajectory


class Scripted:
    """A pool in this process whose groups succeed as a script says; several run at once and the later ones end first.

    Attributes:
        played: numbers of the jobs that were begun.
    """

    def __init__(self, script: dict[int, list[bool]], at_once: int) -> None:
        self.script, self.at_once, self.played = script, at_once, list[int]()

    def run(
        self,
        jobs: Iterable[RolloutJob],
        keep_on: Callable[[], bool],
        give_up: Callable[[], bool],
        enough: Callable[[], bool],
    ) -> Iterator[tuple[RolloutJob, list[Trajectory]]]:
        """As `WorkerPool.run`."""
        waiting, running = list(jobs), list[RolloutJob]()
        while not give_up() and not enough():
            while waiting and len(running) < self.at_once and keep_on():
                running.append(waiting.pop(0))
                self.played.append(running[-1].number)
            if not running:
                return
            job = running.pop()
            yield job, [trajectory(success) for success in self.script.get(job.number, [False] * 4)]


def trajectory(success: bool, chunks: int = 1) -> Trajectory:
    return Trajectory(
        "reach the red blob", np.zeros((chunks, 32, 32, 3), np.uint8), np.zeros((chunks, 8), np.float32),
        np.zeros((chunks, 8, 7), np.uint8), np.zeros((chunks, 8, 7), np.float32), np.ones((chunks, 8), bool),
        8 * chunks, success,
    )  # fmt: skip


@pytest.fixture
def run(tmp_path: Path) -> Path:
    write_policy(tmp_path, small_policy())
    return tmp_path


def trainer(run: Path, colours: tuple[str, ...] = ("red",), **changes: Any) -> Trainer:
    return Trainer(grpo_options(run, **changes), lambda size: ReachTasks(colours))


def collected(
    run: Path, script: dict[int, list[bool]], at_once: int, **changes: Any
) -> tuple[list[list[Result]], list[list[Result]], Scripted]:
    pool = Scripted(script, at_once)
    made = trainer(run, groups=2, max_tries=4, **changes)
    rollouts = made.collect_rollouts(pool, Log(), lambda: False)  # type: ignore[arg-type]
    assert rollouts is not None
    assert [[one.success for one in group] for group in rollouts.own.values()] == successes(rollouts.kept)
    return rollouts.kept, rollouts.tried, pool


def successes(groups: list[list[Result]]) -> list[list[bool]]:
    return [[one.success for one in group] for group in groups]


MIXED, OTHER, LAST = [True, False, False, False], [True, True, False, False], [True, True, True, False]
ALL = [True] * 4


@pytest.mark.parametrize("at_once", [1, 2, 3, 5])
def test_the_first_mixed_groups_are_kept_however_many_play_at_once(run: Path, at_once: int) -> None:
    script = {0: ALL, 1: MIXED, 3: OTHER, 4: LAST, 5: LAST}
    kept, tried, pool = collected(run, script, at_once)
    assert successes(kept) == [MIXED, OTHER]
    assert successes(tried) == [ALL, MIXED, [False] * 4, OTHER]
    assert pool.played == list(range(len(pool.played)))
    assert len(pool.played) <= 4 + at_once  # and none begins in vain once there are enough


def test_too_few_mixed_groups_are_better_than_none(run: Path) -> None:
    kept, tried, pool = collected(run, {6: MIXED}, 2)
    assert successes(kept) == [MIXED]
    assert len(tried) == 8  # `max_tries` times `groups`
    assert pool.played == list(range(8))


def test_without_dynamic_sampling_the_first_groups_are_taken(run: Path) -> None:
    kept, tried, _ = collected(run, {0: ALL, 1: MIXED}, 1, dynamic_sampling=False)
    assert successes(kept) == successes(tried) == [ALL, MIXED]


def test_pure_groups_change_nothing(run: Path) -> None:
    made = trainer(run)
    groups = played(made, 1)
    before = copied(made.policy.state_dict())
    metrics = made.update_policy(rollouts_of([[replace(one, success=True) for one in groups[0]]]))
    assert metrics["gradient_norm"] == 0.0
    assert same(before, made.policy.state_dict())


def played(made: Trainer, groups: int) -> Groups:
    """Groups as a worker plays them; the first trajectory of each counts as the only success."""
    worker = RolloutWorker(made.policy.config, made.tasks)
    some = [worker(job, lambda steps: None) for job, _ in zip(made.jobs(), range(groups))]
    return [[replace(one, success=number == 0) for number, one in enumerate(group)] for group in some]


def test_an_update_makes_successes_more_probable_and_failures_less(run: Path) -> None:
    made = trainer(run, epochs=4, lr=3e-3, warmup=1)
    groups = played(made, 2)
    batch = Batch.of(groups, made.policy)
    made.update_policy(rollouts_of(groups))
    with torch.no_grad():
        logits = made.policy(batch.images, batch.words, batch.proprio)
    log_p, _ = token_log_p(logits, batch.tokens, made.options.temperature)
    change = (log_p - batch.log_p).mean((1, 2))
    assert change[batch.advantages > 0].mean() > 0.01
    assert change[batch.advantages < 0].mean() < 0.0


def test_microbatches_change_nothing(run: Path) -> None:
    results = []
    for size in (1, 1000):
        made = trainer(run, microbatch=size)
        results.append((made.update_policy(rollouts_of(played(made, 2))), copied(made.policy.state_dict())))
    for name, value in results[0][0].items():
        assert value == pytest.approx(results[1][0][name], rel=1e-3, abs=1e-6), name
    for name, weights in results[0][1].items():
        assert torch.allclose(weights, results[1][1][name], atol=2e-4), name


def test_the_average_of_weights_follows_them(run: Path) -> None:
    made = trainer(run, ema=0.75, minibatch=100)
    before = copied(made.policy.state_dict())
    made.update_policy(rollouts_of(played(made, 1)))  # one optimiser step
    assert made.updates == 1
    assert made.average is not None
    for name, value in made.policy.state_dict().items():
        assert torch.allclose(made.average[name], 0.75 * before[name] + 0.25 * value, atol=1e-6)
    assert same(made.payload()["weights"], made.average)
    assert same(made.payload()["learner"], made.policy.state_dict())


def test_jobs_go_round_the_tasks_and_differ_from_step_to_step(run: Path) -> None:
    made = trainer(run, ("red", "blue"), groups=4, max_tries=1)
    first = list(made.jobs())
    assert [job.number for job in first] == [0, 1, 2, 3]
    assert sorted(job.task for job in first) == [0, 0, 1, 1]
    assert first[0].task != first[1].task
    made.step = 1
    second = list(made.jobs())
    seeds = [seed for job in first + second for seed in (job.state, *job.samples)]
    assert len(set(seeds)) == len(seeds)
    assert [job.state for job in trainer(run, seed=1, groups=4, max_tries=1).jobs()] != [job.state for job in first]


class InProcess:
    """A pool in this process that plays what it is given."""

    def __init__(self, worker: RolloutWorker) -> None:
        self.worker, self.states = worker, list[tuple[int, ...]]()

    def run(
        self, jobs: Iterable[RolloutJob], give_up: Callable[[], bool]
    ) -> Iterator[tuple[RolloutJob, list[Trajectory]]]:
        """Plays the last job first."""
        for job in reversed(list(jobs)):
            self.states.append(job.state)
            yield job, self.worker(job, lambda steps: None)


def test_an_evaluation_plays_the_same_states_for_every_policy(run: Path) -> None:
    results, states = [], []
    for seed in (0, 0, 3):
        policy = small_policy(seed)
        pool = InProcess(RolloutWorker(policy.config, ReachTasks(("red", "blue"))))
        weights = arrays(policy.state_dict())
        results.append(held_out_successes(pool, weights, rows=8, states=12, tasks=2))  # type: ignore[arg-type]
        states.append(pool.states)
    assert states[0] == states[1] == states[2]
    assert results[0] == results[1]
    assert len(results[0]) == 12
