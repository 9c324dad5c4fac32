"""Carts whose observations cannot be used."""

from __future__ import annotations

import threading
import time
from dataclasses import replace

import numpy as np

from bad_robots.cart import Cart
from robots.observation import Observation


class RepeatsStamps(Cart):
    """Gives every observation the stamp of its connection."""

    def observe(self) -> Observation:
        return replace(super().observe(), stamp_ns=int(self._connected_at * 1e9))


class StampsWallTime(Cart):
    """Stamps with the clock on the wall."""

    def observe(self) -> Observation:
        return replace(super().observe(), stamp_ns=time.time_ns())


class NeverObserves(Cart):
    """Waits for a camera that sends nothing, until the test has ended."""

    ended = threading.Event()

    def observe(self) -> Observation:
        self._require("observe")
        self.ended.wait()
        return super().observe()


class SeesInDouble(Cart):
    """Tells its state in float64."""

    def observe(self) -> Observation:
        seen = super().observe()
        return replace(seen, state={name: vector.astype(np.float64) for name, vector in seen.state.items()})
