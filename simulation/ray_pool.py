"""Jobs on a Ray cluster: `WorkerPool`'s interface, its workers are actors on the cluster's nodes.

An actor that dies, alone or with its node, is replaced and its job run again. What hangs is found on the node: a
`WatchedWork` runs jobs in a process of its own there. Nodes need no disk in common; all of them have the same Ferry.
"""

from __future__ import annotations

import pickle
import socket
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

from simulation.errors import ClusterError, JobFailed, WorkersLost
from simulation.worker_pool import ABANDON_S, START_S, Task, Work, WorkerPool, described

ATTEMPTS = 5
"""Attempts at a job whose actor dies: nodes of a cluster may go together."""

WAIT_S, CONNECT_S = 1.0, 10.0

JobT = TypeVar("JobT")
ResultT = TypeVar("ResultT")
JobIn = TypeVar("JobIn", contravariant=True)
ResultOut = TypeVar("ResultOut", covariant=True)


class NodeWork(Protocol[JobIn, ResultOut]):
    """Callable that runs jobs in an actor; made once there."""

    def __call__(self, job: JobIn, is_dropped: Callable[[], bool]) -> ResultOut | None:
        """Runs one job; None where it ended because the job is not needed any more."""


class WatchedWork(Generic[JobT, ResultT]):
    """Runs jobs in a process of its own on the node, which is replaced where it dies or hangs; see `WorkerPool`."""

    def __init__(self, make: Callable[[], Work[JobT, ResultT]], stall_s: float) -> None:
        self._pool = WorkerPool[JobT, ResultT](make, 1, stall_s=stall_s)

    def __call__(self, job: JobT, is_dropped: Callable[[], bool]) -> ResultT | None:
        """Runs one job."""
        return next((result for _, result in self._pool.run([job], enough=is_dropped)), None)


@dataclass
class _Worker(Generic[JobT]):
    """An actor, what it was asked last, and its job; it is `ready` once its work is made."""

    actor: Any
    asked: Any
    began_s: float
    ready: bool = False
    task: Task[JobT] | None = None
    number: int = field(default=0)


class RayPool(Generic[JobT, ResultT]):
    """Pool of actors on a Ray cluster, started when there are jobs; as a context manager it connects, and ends them.

    Args:
        make: makes the work in the actor; picklable.
        actors: largest number of them, each with a core; 0 for all the cluster's cores.
        address: of the cluster, "auto" for one on this machine, "local" for one that ends with the pool.
        cores_each: cores of a node that each actor takes.
        lost: hears of a job whose actor died, why, and which attempt at it is next.

    Attributes:
        cores: of the cluster, once connected.
        replaced: number of actors that died.
    """

    def __init__(
        self,
        make: Callable[[], NodeWork[JobT, ResultT]],
        actors: int,
        address: str,
        *,
        cores_each: int = 1,
        lost: Callable[[JobT, str, int], None] = lambda job, why, attempt: None,
    ) -> None:
        self._make, self._count, self._address = make, actors, address
        self._cores_each, self._lost = cores_each, lost
        self._workers: list[_Worker[JobT]] = []
        self._waiting: deque[Task[JobT]] = deque()
        self._ray: Any = None
        self.cores = self.replaced = 0

    def __enter__(self) -> RayPool[JobT, ResultT]:
        """Connects. Raises ClusterError where Ray is missing or the cluster cannot be reached."""
        self._ray = _connected(self._address)
        self.cores = max(1, int(self._ray.cluster_resources().get("CPU", 1)))
        largest = max((int(node["Resources"].get("CPU", 0)) for node in self._ray.nodes() if node["Alive"]), default=0)
        if self._cores_each > max(1, largest):
            self._ray.shutdown()
            got = f"got no node of more than {largest} cores, expected one of at least {self._cores_each}"
            raise ClusterError(f"ray cluster '{self._address}': {got}")
        self._count = self._count or max(1, self.cores // self._cores_each)
        return self

    def __exit__(self, *error: object) -> None:
        for worker in self._workers:
            self._ray.kill(worker.actor)
        self._workers.clear()
        self._ray.shutdown()

    def run(
        self,
        jobs: Iterable[JobT],
        keep_on: Callable[[], bool] = lambda: True,
        give_up: Callable[[], bool] = lambda: False,
        enough: Callable[[], bool] = lambda: False,
    ) -> Iterator[tuple[JobT, ResultT]]:
        """As `WorkerPool.run`: yields each job with its result as it finishes.

        Raises:
            JobFailed: a job raised an exception, or the work could not be made.
            WorkersLost: a job lost its actor in every attempt, or the cluster gives no core.
        """
        self._waiting = deque(map(Task, jobs))
        while not give_up():
            if enough():
                yield from self._abandon()
                return
            self._assign(keep_on)
            asked = {worker.asked: worker for worker in self._workers if worker.task or not worker.ready}
            if not any(worker.task for worker in self._workers) and not self._wanted(keep_on):
                return
            done, _ = self._ray.wait(list(asked), timeout=WAIT_S)
            for one in done:
                yield from self._receive(asked[one])
            self._check_start()

    def _wanted(self, keep_on: Callable[[], bool]) -> bool:
        return bool(self._waiting) and (self._waiting[0].losses > 0 or keep_on())

    def _assign(self, keep_on: Callable[[], bool]) -> None:
        """Gives jobs to idle actors, and asks for as many more as there are jobs left; a lost job must go on."""
        for worker in [worker for worker in self._workers if worker.ready and not worker.task]:
            if self._wanted(keep_on):
                self._begin(worker, self._waiting.popleft())
        starting = sum(not worker.ready for worker in self._workers)
        while starting < len(self._waiting) and len(self._workers) < self._count and self._wanted(keep_on):
            remote = self._ray.remote(num_cpus=self._cores_each, concurrency_groups={"control": 1})(_Actor)
            actor = remote.remote(self._ray.cloudpickle.dumps(self._make))
            self._workers.append(_Worker(actor, actor.begin.remote(), time.monotonic()))
            starting += 1

    def _begin(self, worker: _Worker[JobT], task: Task[JobT]) -> None:
        worker.task, worker.number = task, worker.number + 1
        worker.asked = worker.actor.run.remote(task.job, worker.number)

    def _receive(self, worker: _Worker[JobT]) -> Iterator[tuple[JobT, ResultT]]:
        try:
            kind, value = self._ray.get(worker.asked)
        except self._ray.exceptions.RayError as error:
            self._replace(worker, f"{type(error).__name__}: {str(error).strip().splitlines()[-1]}")
            return
        task, worker.task = worker.task, None
        if kind == "ready":
            worker.ready = True
        elif kind == "failed":
            raise JobFailed(task.job if task else "none yet", *value)
        elif kind == "lost":
            raise WorkersLost(value)
        elif kind == "done" and task is not None:
            yield task.job, value

    def _replace(self, worker: _Worker[JobT], why: str) -> None:
        """Forgets an actor that died; its job waits for another, unless this was the last attempt at it."""
        self._workers.remove(worker)
        self.replaced += 1
        if worker.task is None:
            if self.replaced > ATTEMPTS * self._count:
                raise WorkersLost(f"ray cluster '{self._address}': its actors die before they have a job: {why}")
            return
        worker.task.losses += 1
        if worker.task.losses >= ATTEMPTS:
            raise WorkersLost(f"job {worker.task.job}: its actor ended, {why}; {ATTEMPTS} actors were lost over it")
        self._lost(worker.task.job, why, worker.task.losses + 1)
        self._waiting.appendleft(worker.task)

    def _check_start(self) -> None:
        """Raises WorkersLost where no actor has begun and none begins in time: the cluster's cores are taken."""
        if self._workers and not any(worker.ready for worker in self._workers):
            waited_s = time.monotonic() - max(worker.began_s for worker in self._workers)
            if waited_s > START_S:
                free = self._ray.available_resources().get("CPU", 0)
                got = f"got no actor in {waited_s:.0f} s, {free:g} of {self.cores} cores are free"
                raise WorkersLost(f"ray cluster '{self._address}': {got}; end what holds them, or add a node")

    def _abandon(self) -> Iterator[tuple[JobT, ResultT]]:
        """Drops every job and yields those that have just finished; ends an actor that does not answer."""
        self._waiting.clear()
        busy = [worker for worker in self._workers if worker.task]
        for worker in busy:
            worker.actor.drop.options(concurrency_group="control").remote(worker.number)
        done = self._ray.wait([one.asked for one in busy], num_returns=len(busy), timeout=ABANDON_S)[0] if busy else []
        for worker in busy:
            if worker.asked in done:
                yield from self._receive(worker)
            else:
                self._ray.kill(worker.actor)
                self._workers.remove(worker)
                self.replaced += 1
        self._waiting.clear()  # of one that died meanwhile


class _Actor:
    """What runs on a node; jobs in one thread, `drop` in another."""

    def __init__(self, make: bytes) -> None:
        self._make, self._dropped = make, 0
        self._work: NodeWork[Any, Any] | None = None

    def begin(self) -> tuple[str, Any]:
        """Makes the work, in the thread that will run jobs."""
        try:
            self._work = pickle.loads(self._make)()  # noqa: S301 - from the driver, which Ray trusts with everything
        except Exception as error:  # reported by the driver, which has the terminal
            return "failed", described(error)
        return "ready", None

    def run(self, job: Any, number: int) -> tuple[str, Any]:
        """Runs one job, unless it was dropped."""
        assert self._work is not None  # `begin` came before
        try:
            result = self._work(job, lambda: self._dropped >= number)
        except JobFailed as error:
            return "failed", (error.reason, error.where)
        except WorkersLost as error:
            return "lost", str(error)
        except Exception as error:  # reported by the driver, which has the terminal
            return "failed", described(error)
        return ("dropped", None) if result is None else ("done", result)

    def drop(self, number: int) -> None:
        """Says that the job of this number is not needed any more."""
        self._dropped = number


def _connected(address: str) -> Any:
    try:
        import ray
    except ImportError as error:
        raise ClusterError(f"--ray: got {error}, expected Ray: pip install 'ferry[ray]'") from error
    host, _, port = address.rpartition(":")
    try:
        if host and port.isdigit() and "://" not in host:  # Ray itself tries for minutes
            socket.create_connection((host.strip("[]"), int(port)), CONNECT_S).close()
        ray.init(address=address, log_to_driver=False, logging_level="warning")
    except Exception as error:  # Ray raises ConnectionError, ValueError, RuntimeError and its own
        raise ClusterError(f"ray cluster '{address}': {error}; start one with `ray start --head`") from error
    return ray
