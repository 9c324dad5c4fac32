"""Worker processes for trials: each keeps its simulator, takes block after block, is replaced if it dies or stalls."""

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

STOP_S = 10.0  # time for a worker to exit after the request to end [s]
START_S = 300.0  # time for a new worker to import its modules and load the policies [s]
STALL_S = 300.0  # building a house and running its expert send no heartbeat; a step takes far less [s]
HEARTBEAT_S = 1.0  # period of a worker's heartbeat while a trial runs [s]
POLL_S = 1.0  # period of the check for stalled workers [s]


@dataclass
class Worker:
    """A process and its work: `current` is the running trial, `queue` the trials assigned to it after that.

    `heard_s` is the monotonic time of its last message; `started` is True once it has sent one.
    """

    process: SpawnProcess
    pipe: Connection
    heard_s: float
    started: bool = False
    queue: list[Trial] = field(default_factory=list)
    current: Trial | None = None


class Workers:
    """Runs trials in `count` processes.

    Args:
        plan: the evaluation's plan.
        folder: output folder; each process writes its own trials there.
        options: of the runner in each process.
        on_episode: called in this process with every record.
        stall_s: stall timeout; a process without a heartbeat for so long is replaced.
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
        """Runs every trial; TrialError when a worker reports an error that ends the evaluation."""
        self._blocks = [list(block) for _, block in groupby(trials, key=lambda trial: trial.block)]
        try:
            while self._blocks or any(worker.current or worker.queue for worker in self._workers):
                self._assign(count)
                self._listen()
        finally:
            self._shut_down()

    def _assign(self, count: int) -> None:
        """Gives every idle worker a block (policies of one block share a house), starting workers up to `count`."""
        while self._blocks and len(self._workers) < count:
            self._workers.append(Worker(*start_child(work, *self._job), time.monotonic()))
        for worker in self._workers:
            if self._blocks and not worker.queue and worker.current is None:
                worker.queue = self._blocks.pop(0)
                with suppress(ConnectionError):  # it is dead; `_listen` will notice
                    self._next(worker)

    def _next(self, worker: Worker) -> None:
        worker.current, worker.heard_s = None, time.monotonic()
        if worker.queue:
            worker.pipe.send(worker.queue[0])
            worker.current = worker.queue.pop(0)

    def _listen(self) -> None:
        busy = [worker for worker in self._workers if worker.current is not None]
        ready = wait([worker.pipe for worker in busy], POLL_S)
        for worker in busy:
            if worker.pipe in ready:
                try:
                    self._receive(worker, worker.pipe.recv())
                except (EOFError, ConnectionError):
                    worker.process.join(STOP_S)
                    self._handle_loss(worker, f"its process died with exit code {worker.process.exitcode}")
            elif (silent_s := time.monotonic() - worker.heard_s) > (self._stall_s if worker.started else START_S):
                worker.process.kill()
                worker.process.join(STOP_S)
                self._handle_loss(worker, f"its process sent no heartbeat for {silent_s:.0f} s")

    def _receive(self, worker: Worker, message: Episode | str | None) -> None:
        worker.heard_s, worker.started = time.monotonic(), True
        if isinstance(message, str):
            raise TrialError(message)
        if message is not None:
            self._on_episode(message)
            self._next(worker)

    def _handle_loss(self, worker: Worker, why: str) -> None:
        """Handles a lost worker: its trial is recorded as cut off, and the rest of its block is reassigned."""
        worker.pipe.close()
        self._workers.remove(worker)
        if worker.queue:
            self._blocks.insert(0, worker.queue)
        if worker.current is None:
            return
        known = self._folder.episode(worker.current) or Episode(worker.current, Outcome.ABORTED, "cut off")
        if not known.is_finished:  # it may have died between writing its record and sending it
            known = write_aborted(self._folder.trial(worker.current), known, "cut off", why)
        self._on_episode(known)

    def _shut_down(self) -> None:
        for worker in self._workers:
            worker.pipe.close()
        for worker in self._workers:
            if worker.current is not None:
                worker.process.terminate()
            worker.process.join(STOP_S)
            if worker.process.is_alive():
                worker.process.kill()
        self._workers = []


class Heartbeat:
    """A `Subscriber` that sends heartbeats through the pipe while a trial runs."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe, self._sent_s = pipe, 0.0

    def on_start(self) -> None:
        """Sends a heartbeat."""
        self._send()

    def on_step(self, step: Step) -> None:
        """Sends a heartbeat, at most one each `HEARTBEAT_S`."""
        if time.monotonic() - self._sent_s > HEARTBEAT_S:
            self._send()

    def on_end(self, end: RunEnd) -> None:
        """Sends a heartbeat."""
        self._send()

    def _send(self) -> None:
        self._sent_s = time.monotonic()
        self._pipe.send(None)


def work(pipe: Connection, plan: Plan, path: Path, options: TrialRunnerOptions) -> None:
    """Main function of a worker process: runs one trial after the other, until the pipe is closed."""
    heartbeat = Heartbeat(pipe)
    try:
        with shared(path), TrialRunner(plan, options) as runner:
            folder = RunFolder.read(path)
            pipe.send(None)
            while True:
                pipe.send(runner.run(pipe.recv(), folder, (heartbeat,)))
    except (EOFError, BrokenPipeError, KeyboardInterrupt):
        return
    except Exception as error:  # reported by the process that has the terminal
        pipe.send(f"{type(error).__name__}: {error}")
