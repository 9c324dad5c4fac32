"""Rollouts on Ray actors: the same training and evaluation as without them, also when an actor is killed."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from checkpoints import different
from pool_here import without_processes
from ray_cluster import ray_cluster
from reach_world import ReachTasks, ReachWorld
from sharded_ranks import COLOURS, NearTasks
from vla_policies import grpo_options, small_policy, write_policy

from simulation.errors import ClusterError
from training.runtime.checkpoint import load
from training.vla.evaluate import EvaluateVlaOptions, evaluate
from training.vla.grpo.grpo import Trainer
from training.vla.policy.checkpoint import KIND
from training.vla.rollout.task_options import TaskOptions

needs_ray = pytest.mark.skipif(find_spec("ray") is None, reason="the extra `ray` is not installed")


class KillsItsActor(ReachTasks):
    """The first simulator to play ends the actor that it belongs to."""

    def world(self, task: int) -> ReachWorld:
        assert self.mark is not None
        if not self.mark.exists():
            self.mark.touch()
            os.kill(os.getppid(), signal.SIGKILL)
            time.sleep(60.0)
        return ReachWorld(self.colours[task])


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    with ray_cluster(2) as made:
        yield made


def trained(run: Path, tasks: ReachTasks, **changes: Any) -> dict[str, Any]:
    made = Trainer(grpo_options(run, dynamic_sampling=False, **changes), lambda size: tasks)
    made.run(steps=2)
    return load(made.last, KIND)


@needs_ray
def test_the_training_is_the_same_as_without_ray_also_when_an_actor_is_killed(
    cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_policy(tmp_path, small_policy())
    mark = tmp_path / "mark"
    spread = trained(tmp_path, KillsItsActor(mark=mark), name="spread", ray=cluster.address, workers=2)
    assert mark.exists()
    without_processes(monkeypatch, "training.vla.rollout.pool")
    here = trained(tmp_path, ReachTasks(), name="here")
    assert spread["trajectories"] == here["trajectories"] > 0
    assert not different(spread, here)


@needs_ray
@pytest.mark.slow
def test_an_evaluation_has_the_same_outcomes_as_without_ray(
    cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def tasks(options: TaskOptions, size: int) -> NearTasks:
        return NearTasks(COLOURS if options.suite == "reach" else ("blue",))

    path = write_policy(tmp_path, small_policy(1))
    options = EvaluateVlaOptions(
        checkpoint=path, tasks=TaskOptions("reach"), perturb=("swap",), states=12, workers=2, ray=cluster.address
    )
    spread = evaluate(options, tasks)
    written = json.loads(options.file.read_text())
    without_processes(monkeypatch, "training.vla.rollout.pool")
    here = evaluate(replace(options, ray="", workers=1), tasks)
    assert spread == here
    assert json.loads(options.file.read_text()) == written
    assert 0 < sum(sum(result.outcomes) for result in here) < 24


@needs_ray
def test_a_cluster_that_is_not_there_ends_the_training_before_it_begins(tmp_path: Path) -> None:
    write_policy(tmp_path, small_policy())
    with pytest.raises(ClusterError, match=r"127\.0\.0\.1:1"):
        trained(tmp_path, ReachTasks(), name="nowhere", ray="127.0.0.1:1")
