"""Trials in several processes: each keeps its simulator, takes block after block, and is replaced when it dies."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import groupby
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any

from evaluation.episode import Episode
from evaluation.errors import StageError
from evaluation.examiner import Examiner, ExaminerOptions
from evaluation.folder import RunFolder
from evaluation.plan import Plan
from evaluation.recorder import write_aborted
from evaluation.trial import Outcome, Trial

STOP_S = 10.0  # a worker that was told to end gets this long [s]


@dataclass
class Worker:
    """A process and what it is doing: `current` is the trial it began, `queue` what it was given beyond that."""

    process: SpawnProcess
    pipe: Connection
    queue: list[Trial] = field(default_factory=list)
    current: Trial | None = None


class Workers:
    """Runs trials in `count` processes.

    Args:
        plan: what is evaluated.
        folder: where; each process writes its own trials there.
        options: for the examiner in each process.
        on_episode: called in this process with every record.
    """

    def __init__(
        self, plan: Plan, folder: RunFolder, options: ExaminerOptions, on_episode: Callable[[Episode], None]
    ) -> None:
        self._job, self._folder, self._on_episode = (plan, folder.path, options), folder, on_episode
        self._context = multiprocessing.get_context("spawn")
        self._workers: list[Worker] = []
        self._blocks: list[list[Trial]] = []

    def run(self, trials: Sequence[Trial], count: int) -> None:
        """Runs every trial; StageError when a worker says that going on makes no sense."""
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
            ours, theirs = self._context.Pipe()
            process = self._context.Process(target=work, args=(theirs, *self._job), daemon=True)
            process.start()
            theirs.close()
            self._workers.append(Worker(process, ours))
        for worker in self._workers:
            if self._blocks and not worker.queue and worker.current is None:
                worker.queue = self._blocks.pop(0)
                with suppress(ConnectionError):  # it is dead, as `_listen` will notice
                    self._next(worker)

    def _next(self, worker: Worker) -> None:
        worker.current = None
        if worker.queue:
            worker.pipe.send(worker.queue[0])
            worker.current = worker.queue.pop(0)

    def _listen(self) -> None:
        by_pipe: dict[Any, Worker] = {one.pipe: one for one in self._workers}
        for pipe in wait(list(by_pipe)):
            worker = by_pipe[pipe]
            try:
                self._hear(worker, worker.pipe.recv())
            except (EOFError, ConnectionError):
                self._bury(worker)

    def _hear(self, worker: Worker, message: Episode | str) -> None:
        if isinstance(message, str):
            raise StageError(message)
        self._on_episode(message)
        self._next(worker)

    def _bury(self, worker: Worker) -> None:
        """A worker died: its trial was cut off, and the rest of its block goes to another one."""
        worker.process.join(STOP_S)
        self._workers.remove(worker)
        if worker.queue:
            self._blocks.insert(0, worker.queue)
        if worker.current is None:
            return
        known = self._folder.episode(worker.current) or Episode(worker.current, Outcome.ABORTED, "cut off")
        if not known.is_finished:  # it may have died between writing its record and telling of it
            why = f"its process died with exit code {worker.process.exitcode}"
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


def work(pipe: Connection, plan: Plan, path: Path, options: ExaminerOptions) -> None:
    """What a worker's process does: one trial after the other, until the pipe is closed."""
    folder = RunFolder.read(path)
    try:
        with Examiner(plan, options) as examiner:
            while True:
                pipe.send(examiner.run(pipe.recv(), folder))
    except (EOFError, BrokenPipeError, KeyboardInterrupt):
        return
    except Exception as error:  # told in the one process that has a terminal
        pipe.send(f"{type(error).__name__}: {error}")
