"""Speeds from positions, for robots that report positions alone."""

from __future__ import annotations

from collections.abc import Mapping

SHORTEST_S = 0.001
"""Shorter intervals are no measurement, as where the clock was set back."""


class MeanSpeed:
    """Mean speeds since the reading before."""

    def __init__(self) -> None:
        self._stamp_ns, self._positions = -1, dict[str, float]()
        self._speeds: dict[str, float] = {}

    def take(self, positions: Mapping[str, float], stamp_ns: int) -> dict[str, float]:
        """Returns the speed of each of `positions`, per second; 0 for one that was not there before."""
        elapsed_s = (stamp_ns - self._stamp_ns) / 1e9
        if elapsed_s >= SHORTEST_S or self._stamp_ns < 0:
            before = self._positions
            self._speeds = {name: (now - before.get(name, now)) / elapsed_s for name, now in positions.items()}
            self._stamp_ns, self._positions = stamp_ns, dict(positions)
        return self._speeds
