"""What an arm's first joint was commanded, exactly, and where it was measured; and the figures of both."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from robots.arms.planner import Plan
from robots.arms.running_plan import RunningPlan
from robots.arms.trajectory import Trajectory

F64 = npt.NDArray[np.float64]
TICK_S, AROUND_S = 0.001, 0.6
"""Spacing of what is looked at, and how far before and behind a join."""

BEGIN_S, END_S = 0.35, 0.2
"""Left out of the pauses: the path itself is slow at its beginning, and the last chunk ends at rest."""

SLOW = 0.1
"""Slower than this fraction of the path's mean speed is a pause."""

STILL_RAD, STILL_S, MAX_LAG_S = 0.0012, 0.06, 0.3


@dataclass(frozen=True)
class Figures:
    """Pause and jumps around joins, and error of the measured joint against the path behind its best constant delay."""

    pause_p50_ms: float
    pause_max_ms: float
    jump_mrad: float
    jump_mradps: float
    acceleration: float
    row_ms: float
    off_rms_mrad: float
    off_max_mrad: float
    lag_ms: float


@dataclass
class Trace:
    """One run.

    Attributes:
        plans: when each plan was taken [s], when it began, and the arm's trajectory.
        measured: (time [s], position [rad]) of the first joint.
        joins: when each chunk after the first was taken.
    """

    plans: list[tuple[float, float, Trajectory]] = field(default_factory=list)
    measured: list[tuple[float, float]] = field(default_factory=list)

    def watch(self, running: RunningPlan) -> Callable[[], None]:
        """Notes every plan from now on; returns what ends that."""
        begin, changed = running.begin, running._changed

        def now_s() -> float:
            return running.began_s + running.elapsed_s()

        def note(plan: Plan, taken_s: float) -> None:
            if plan.arm is not None:
                self.plans.append((taken_s, running.began_s, plan.arm))

        def begins(plan: Plan, joins: bool) -> None:
            begin(plan, joins)
            note(plan, now_s())

        def joined(plan: Plan) -> None:
            taken_s = now_s()  # sending it to the controllers takes its time
            changed(plan)
            note(plan, taken_s)

        running.begin, running._changed = begins, joined  # type: ignore[method-assign]

        def end() -> None:
            running.begin, running._changed = begin, changed  # type: ignore[method-assign]

        return end

    @property
    def joins(self) -> list[float]:
        """When each chunk but the first was taken [s]."""
        return [taken_s for taken_s, _, _ in self.plans[1:]]

    def commanded(self) -> tuple[F64, F64]:
        """Times and positions (n,) of the first joint as commanded, every `TICK_S`."""
        taken = np.array([taken_s for taken_s, _, _ in self.plans])
        times = np.arange(taken[0], self.plans[-1][1] + self.plans[-1][2].duration_s, TICK_S)
        which, places = np.searchsorted(taken, times, side="right") - 1, np.empty(len(times))
        for index, (_, began_s, arm) in enumerate(self.plans):
            here = which == index
            places[here] = arm.held(times[here] - began_s)[0][:, 0]
        return times, places

    def figures(self, path: Callable[[F64], F64], speed: float, begun_s: float, rows: int) -> Figures:
        """Figures of a run along `path` at a mean `speed` [rad/s], which began at `begun_s`, of so many rows."""
        times, places = self.commanded()
        speeds = np.diff(places) / TICK_S
        going = (times[1:] > times[0] + BEGIN_S) & (times[1:] < times[-1] - END_S)
        pauses = [_pause(times[1:][going], speeds[going], at, SLOW * speed) for at in self.joins]
        near = np.zeros(len(speeds), bool)
        for at in [*self.joins, times[-1]]:
            near |= np.abs(times[1:] - at) < AROUND_S
        changes = np.abs(np.diff(speeds, prepend=speeds[0]))
        off, lag_s = self._off(path, begun_s)
        bends = np.abs(np.convolve(np.diff(speeds) / TICK_S, np.ones(10) / 10, "same"))
        return Figures(
            1000 * float(np.median(pauses or [np.nan])),
            1000 * max(pauses, default=np.nan),
            1000 * max(0.0, float((np.abs(np.diff(places)) - 3 * speed * TICK_S)[near].max())),
            1000 * float(changes[near].max()),
            float(np.percentile(bends[near[1:]], 99)),
            1000 * (self.plans[-1][0] - self.plans[0][0]) / max(1, rows),
            *(1000 * float(one) for one in (np.sqrt(np.mean(off**2)), np.abs(off).max(), lag_s)),
        )

    def rest_after(self, since_s: float) -> float:
        """Time from which the measured joint is at rest for good after `since_s`."""
        times, places = (np.array(column) for column in zip(*self.measured))
        moving = [
            at - STILL_S / 2
            for at in times[times > since_s]
            if np.ptp(places[(times >= at - STILL_S) & (times <= at)]) > STILL_RAD
        ]
        return float(max([since_s, *moving]))

    def _off(self, path: Callable[[F64], F64], begun_s: float) -> tuple[F64, float]:
        times, places = (np.array(column) for column in zip(*self.measured))
        kept = (times > begun_s + 0.3) & (times < self.plans[-1][0])
        if not kept.any():
            return np.full(1, np.nan), np.nan
        times, places = times[kept], places[kept] - places[0]
        lags = np.linspace(0.0, MAX_LAG_S, 61)
        errors = [places - path(times - begun_s - lag) for lag in lags]
        best = int(np.argmin([np.mean(error**2) for error in errors]))
        return errors[best], float(lags[best])


def _pause(times: F64, speeds: F64, at_s: float, slow: float) -> float:
    """Longest time around `at_s` for which it is slower than `slow` [s]."""
    here = np.abs(times - at_s) < AROUND_S
    longest = run = 0
    for is_slow in speeds[here] < slow:
        run = run + 1 if is_slow else 0
        longest = max(longest, run)
    gaps = np.diff(times[here], append=times[here][-1])
    return longest * TICK_S + float(max(0.0, gaps.max() - TICK_S))


def naive_jumps(chunks: Sequence[tuple[int, Any]], taken_s: Sequence[float], period_s: float) -> dict[str, float]:
    """What the command would do if each chunk were played from its first row on, from the moment it came."""
    jumps, kinks = [0.0], [0.0]
    for (_, old), (_, new), began_s, at_s in zip(chunks, chunks[1:], taken_s, taken_s[1:]):
        row = (at_s - began_s) / period_s - 1.0
        index = int(np.clip(row, 0, len(old) - 2))
        before = (old[index + 1, 0] - old[index, 0]) / period_s
        jumps.append(abs(float(new[0, 0] - np.interp(row + 1.0, np.arange(len(old)), old[:, 0]))))
        kinks.append(abs(float((new[1, 0] - new[0, 0]) / period_s - before)))
    return {"jump_mrad": 1000 * max(jumps), "jump_mradps": 1000 * max(kinks)}
