"""Trials in several processes: each keeps its simulator, takes block after block, is replaced when it dies or hangs."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import groupby
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path

from evaluation.errors import TrialError
from evaluation.plans.plan import Plan
from evaluation.plans.trial import Outcome, Trial
from evaluation.records.episode import Episode
from evaluation.records.folder_lock import shared
from evaluation.records.recorder import write_aborted
from evaluation.records.run_folder import RunFolder
from evaluation.step import RunEnd, Step
from evaluation.trial_runner import TrialRunner, TrialRunnerOptions
from robots.processes.child import start_child

STOP_S = 10.0  # a worker that was told to end gets this long [s]
START_S = 300.0  # a new worker gets this long to import what it needs and to load the policies [s]
STALL_S = 300.0  # building a house and measuring its expert says nothing; no step takes nearly so long [s]
ALIVE_S = 1.0  # a worker says this often that its trial goes on [s]
LOOK_S = 1.0  # so often it is looked whether one hangs [s]


@dataclass
class Worker:
    """A process and what it is doing: `current` is the trial it began, `queue` what it was given beyond that.

    `heard_s` is when it last said something, on the monotonic clock; `made` whether it did at all.
    """

    process: SpawnProcess
    pipe: Connection
    heard_s: float
    made: bool = False
    queue: list[Trial] = field(default_factory=list)
    current: Trial | None = None


class Workers:
    """Runs trials in `count` processes.

    Args:
        plan: what is evaluated.
        folder: where; each process writes its own trials there.
        options: for the runner in each process.
        on_episode: called in this process with every record.
        stall_s: a process that says nothing for so long hangs.
    """

    def __init__(
        self,
        plan: Plan,
        folder: RunFolder,
        options: TrialRunnerOptions,
        on_episode: Callable[[Episode], None],
        stall_s: float = STALL_S,
    ) -> None:
        self._job, self._folder, self._on_episode = (plan, folder.path, options), folder, on_episode
        self._stall_s = stall_s
        self._workers: list[Worker] = []
        self._blocks: list[list[Trial]] = []

    def run(self, trials: Sequence[Trial], count: int) -> None:
        """Runs every trial; TrialError when a worker says that going on makes no sense."""
        self._blocks = [list(block) for _, block in groupby(trials, key=lambda trial: trial.block)]
        try:
            while self._blocks or any(one.current or one.queue for one in self._workers):
                self._hire(count)
                self._listen()
        finally:
            self._dismiss()

    def _hire(self, count: int) -> None:
        """Gives every idle worker a block (policies of one block share a house), starting workers up to `count`."""
        while self._blocks and len(self._workers) < count:
            self._workers.append(Worker(*start_child(work, *self._job), time.monotonic()))
        for worker in self._workers:
            if self._blocks and not worker.queue and worker.current is None:
                worker.queue = self._blocks.pop(0)
                with suppress(ConnectionError):  # it is dead, as `_listen` will notice
                    self._next(worker)

    def _next(self, worker: Worker) -> None:
        worker.current, worker.heard_s = None, time.monotonic()
        if worker.queue:
            worker.pipe.send(worker.queue[0])
            worker.current = worker.queue.pop(0)

    def _listen(self) -> None:
        busy = [one for one in self._workers if one.current is not None]
        ready = wait([one.pipe for one in busy], LOOK_S)
        for worker in busy:
            if worker.pipe in ready:
                try:
                    self._hear(worker, worker.pipe.recv())
                except (EOFError, ConnectionError):
                    worker.process.join(STOP_S)
                    self._bury(worker, f"its process died with exit code {worker.process.exitcode}")
            elif (silent_s := time.monotonic() - worker.heard_s) > (self._stall_s if worker.made else START_S):
                worker.process.kill()
                worker.process.join(STOP_S)
                self._bury(worker, f"its process said nothing for {silent_s:.0f} s")

    def _hear(self, worker: Worker, message: Episode | str | None) -> None:
        worker.heard_s, worker.made = time.monotonic(), True
        if isinstance(message, str):
            raise TrialError(message)
        if message is not None:
            self._on_episode(message)
            self._next(worker)

    def _bury(self, worker: Worker, why: str) -> None:
        """A worker is gone: its trial was cut off, and the rest of its block goes to another one."""
        worker.pipe.close()
        self._workers.remove(worker)
        if worker.queue:
            self._blocks.insert(0, worker.queue)
        if worker.current is None:
            return
        known = self._folder.episode(worker.current) or Episode(worker.current, Outcome.ABORTED, "cut off")
        if not known.is_finished:  # it may have died between writing its record and telling of it
            known = write_aborted(self._folder.trial(worker.current), known, "cut off", why)
        self._on_episode(known)

    def _dismiss(self) -> None:
        for worker in self._workers:
            worker.pipe.close()
        for worker in self._workers:
            if worker.current is not None:
                worker.process.terminate()
            worker.process.join(STOP_S)
            if worker.process.is_alive():
                worker.process.kill()
        self._workers = []


class Alive:
    """A `Subscriber` that says through the pipe that a trial goes on."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe, self._said_s = pipe, 0.0

    def on_start(self) -> None:
        """Says so."""
        self._say()

    def on_step(self, step: Step) -> None:
        """Says so, unless it did a moment ago."""
        if time.monotonic() - self._said_s > ALIVE_S:
            self._say()

    def on_end(self, end: RunEnd) -> None:
        """Says so."""
        self._say()

    def _say(self) -> None:
        self._said_s = time.monotonic()
        self._pipe.send(None)


def work(pipe: Connection, plan: Plan, path: Path, options: TrialRunnerOptions) -> None:
    """What a worker's process does: one trial after the other, until the pipe is closed."""
    alive = Alive(pipe)
    try:
        with shared(path), TrialRunner(plan, options) as runner:
            folder = RunFolder.read(path)
            pipe.send(None)
            while True:
                pipe.send(runner.run(pipe.recv(), folder, (alive,)))
    except (EOFError, BrokenPipeError, KeyboardInterrupt):
        return
    except Exception as error:  # told in the one process that has a terminal
        pipe.send(f"{type(error).__name__}: {error}")
