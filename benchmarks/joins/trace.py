"""What an arm's first joint was commanded and where it was, and the figures of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

F64 = npt.NDArray[np.float64]
TICK_S = 0.001
AROUND_S = 0.6
"""What is looked at before and behind a join."""

SLOW = 0.1
"""Slower than this share of the wave's top speed is a pause."""

STILL_RADPS, STILL_S = 0.02, 0.06
MAX_LAG_S = 0.3


@dataclass(frozen=True)
class Figures:
    """Pause and jump at the joins, and error of the measured joint against the wave, after its best constant delay."""

    pause_p50_ms: float
    pause_max_ms: float
    jump_mrad: float
    jump_mradps: float
    off_rms_mrad: float
    off_max_mrad: float
    lag_ms: float


@dataclass
class Trace:
    """Samples of the first joint.

    Attributes:
        commanded: (time [s], position [rad]).
        measured: likewise.
    """

    commanded: list[tuple[float, float]] = field(default_factory=list)
    measured: list[tuple[float, float]] = field(default_factory=list)

    def figures(self, joins: Sequence[float], top_speed: float, wave: Callable[[F64], F64], begun_s: float) -> Figures:
        """Figures of a run whose chunks were taken at `joins` [s]."""
        times, places = (np.array(column) for column in zip(*self.commanded))
        speeds = np.gradient(places, times)
        pauses = [_pause(times, speeds, at, SLOW * top_speed) for at in joins]
        near = np.zeros(len(times), bool)
        for at in joins:
            near |= np.abs(times - at) < AROUND_S
        steps, changes = np.abs(np.diff(places)), np.abs(np.diff(speeds))
        spacing = np.diff(times)
        jump = float(np.max(np.where(near[1:], steps - top_speed * 1.5 * spacing, 0.0), initial=0.0))
        kink = float(np.max(np.where(near[1:], changes, 0.0), initial=0.0))
        off, lag_s = self._off(wave, begun_s)
        return Figures(
            1000 * float(np.median(pauses)) if pauses else 0.0,
            1000 * max(pauses, default=0.0),
            1000 * max(0.0, jump),
            1000 * kink,
            1000 * float(np.sqrt(np.mean(off**2))),
            1000 * float(np.abs(off).max()),
            1000 * lag_s,
        )

    def rest_after(self, since_s: float) -> float:
        """Time at which the measured joint is at rest for good after `since_s`."""
        times, places = (np.array(column) for column in zip(*self.measured))
        spans = [
            (at, np.ptp(places[(times >= at - STILL_S) & (times <= at)])) for at in times if at > since_s + STILL_S
        ]
        moving = [at for at, span in spans if span > STILL_RADPS * STILL_S]
        return max([since_s, *moving])

    def _off(self, wave: Callable[[F64], F64], begun_s: float) -> tuple[F64, float]:
        times, places = (np.array(column) for column in zip(*self.measured))
        kept = times > begun_s + 1.0
        times, places = times[kept], places[kept] - places[0]
        lags = np.linspace(0.0, MAX_LAG_S, 61)
        errors = [places - wave(times - begun_s - lag) for lag in lags]
        best = int(np.argmin([np.mean(error**2) for error in errors]))
        return errors[best], float(lags[best])


def _pause(times: F64, speeds: F64, at_s: float, slow: float) -> float:
    """Longest time around `at_s` for which it is slower than `slow` [s]."""
    here = np.abs(times - at_s) < AROUND_S
    longest = begun = 0.0
    for time_s, speed in zip(times[here], np.abs(speeds[here])):
        begun = begun or time_s if speed < slow else 0.0
        longest = max(longest, time_s - begun if begun else 0.0)
    return longest


def naive_jumps(chunks: Sequence[tuple[int, Any]], taken_s: Sequence[float], period_s: float) -> dict[str, float]:
    """What the commanded position and speed would do if each chunk's rows were played from its first one on when it came."""
    jumps, kinks = [0.0], [0.0]
    for (_, old), (_, new), began_s, at_s in zip(chunks, chunks[1:], taken_s, taken_s[1:]):
        row = (at_s - began_s) / period_s - 1.0
        at = float(np.interp(row, np.arange(len(old)), old[:, 0]))
        index = int(np.clip(row, 0, len(old) - 2))
        before = (old[index + 1, 0] - old[index, 0]) / period_s
        jumps.append(abs(float(new[0, 0]) - at))
        kinks.append(abs(float((new[1, 0] - new[0, 0]) / period_s - before)))
    return {"jump_mrad": 1000 * max(jumps), "jump_mradps": 1000 * max(kinks)}
