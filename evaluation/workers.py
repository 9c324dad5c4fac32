"""Trials in worker processes: those of one house stay together; a trial whose worker is lost counts as cut off."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from itertools import groupby
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
from simulation.errors import JobFailed
from simulation.worker_pool import Report, WorkerPool

STALL_S = 300.0  # building a house and running its expert send no heartbeat; a step takes far less [s]
HEARTBEAT_S = 1.0  # period of a worker's heartbeat while a trial runs [s]


class Workers:
    """Runs trials in several processes.

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
        self._make, self._folder = partial(TrialWork, plan, folder.path, options), folder
        self._on_episode, self._stall_s = on_episode, stall_s

    def run(self, trials: Sequence[Trial], count: int) -> None:
        """Runs every trial in up to `count` processes; TrialError when one reports an error that ends the evaluation.

        The policies of one block share a house, so its trials stay in one process.
        """
        blocks = [list(block) for _, block in groupby(trials, key=lambda trial: trial.block)]
        pool = WorkerPool[Trial, Episode](
            self._make, count, stall_s=self._stall_s, attempts=1, lost=self._cut_off
        )  # a trial is not repeated: that would hide what it does to a simulator
        try:
            with pool:
                for _, episode in pool.run_groups(blocks):
                    self._on_episode(episode)
        except JobFailed as error:
            raise TrialError(error.reason) from error

    def _cut_off(self, trial: Trial, why: str) -> Episode:
        """Records a trial whose process was lost; it may have died between writing its record and sending it."""
        known = self._folder.episode(trial) or Episode(trial, Outcome.ABORTED, "cut off")
        return known if known.is_finished else write_aborted(self._folder.trial(trial), known, "cut off", why)


class TrialWork:
    """Runs one trial after the other in a worker process, whose end closes everything."""

    def __init__(self, plan: Plan, path: Path, options: TrialRunnerOptions) -> None:
        self._open = ExitStack()
        self._open.enter_context(shared(path))
        self._runner = self._open.enter_context(TrialRunner(plan, options))
        self._folder = RunFolder.read(path)
        self._folder.expect(self._runner.policies)

    def __call__(self, job: Trial, report: Report) -> Episode:
        """Runs a trial; sends heartbeats meanwhile."""
        return self._runner.run(job, self._folder, (Heartbeat(report),))


class Heartbeat:
    """A `Subscriber` that sends heartbeats while a trial runs."""

    def __init__(self, report: Report) -> None:
        self._report, self._sent_s = report, 0.0

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
        self._report(0)
