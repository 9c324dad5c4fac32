"""The pool on a Ray cluster of one machine: `WorkerPool`'s results, also when an actor dies."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from ray_cluster import ray_cluster

from simulation.errors import ClusterError, JobFailed
from simulation.ray_pool import NodeWork, RayPool, WatchedWork
from simulation.worker_pool import Report

needs_ray = pytest.mark.skipif(find_spec("ray") is None, reason="the extra `ray` is not installed")


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    with ray_cluster(2) as made:
        yield made


class Pid:
    """Tells who ran a job, or fails at -1."""

    def __call__(self, job: int, report: Report) -> tuple[int, int]:
        if job < 0:
            raise ValueError("no such number")
        return job, os.getpid()


class KillsItsActor:
    """Ends the process of the actor on which it runs, the first time."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __call__(self, job: int, report: Report) -> int:
        if not self.mark.exists():
            self.mark.touch()
            os.kill(os.getppid(), signal.SIGKILL)
            time.sleep(60.0)
        return job


class Slow:
    """Runs until it is dropped."""

    def __call__(self, job: int, report: Report) -> int:
        for _ in range(6000 if job else 1):
            report(1)
            time.sleep(0.01)
        return job


class NoWork:
    """Cannot be made."""

    def __init__(self) -> None:
        raise RuntimeError("no simulator here")

    def __call__(self, job: int, is_dropped: Callable[[], bool]) -> int:
        return job


def watched(work: Callable[[], Any]) -> Callable[[], NodeWork[int, Any]]:
    return partial(WatchedWork, work, 60.0)


@needs_ray
def test_jobs_are_run_by_several_actors_each_of_which_stays(cluster: Any) -> None:
    with RayPool[int, tuple[int, int]](watched(Pid), 2, cluster.address) as pool:
        first = dict(pool.run(range(8)))
        later = dict(pool.run(range(8, 12)))
        assert {job: value[0] for job, value in (first | later).items()} == {job: job for job in range(12)}
        pids = {pid for _, pid in (first | later).values()}
        assert len(pids) == 2
        assert os.getpid() not in pids
        assert pool.cores == 2
        assert [job for job, _ in pool.run(range(8), keep_on=lambda: False)] == []
        with pytest.raises(JobFailed, match="no such number"):
            list(pool.run([-1]))


@needs_ray
def test_an_actor_that_is_killed_loses_no_job(cluster: Any, tmp_path: Path) -> None:
    with RayPool[int, int](watched(partial(KillsItsActor, tmp_path / "mark")), 2, cluster.address) as pool:
        assert sorted(pool.run(range(6))) == [(job, job) for job in range(6)]
        assert pool.replaced == 1
    assert (tmp_path / "mark").exists()


@needs_ray
def test_what_is_not_needed_any_more_is_dropped_and_the_actor_goes_on(cluster: Any) -> None:
    with RayPool[int, int](watched(Slow), 2, cluster.address) as pool:
        done = list[int]()
        for job, _ in pool.run([0, 1], enough=lambda: bool(done)):
            done.append(job)
        assert done == [0]
        assert [job for job, _ in pool.run([0, 0])] == [0, 0]
        assert pool.replaced == 0


@needs_ray
def test_work_that_cannot_be_made_and_a_cluster_that_is_not_there_are_told(cluster: Any) -> None:
    with RayPool[int, int](NoWork, 1, cluster.address) as pool, pytest.raises(JobFailed, match="no simulator here"):
        list(pool.run([1]))
    with pytest.raises(ClusterError, match="ray start --head"), RayPool[int, int](NoWork, 1, "127.0.0.1:1"):
        pass


def test_without_ray_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ClusterError, match=r"ferry\[ray\]"), RayPool[int, int](NoWork, 1, "auto"):
        pass
