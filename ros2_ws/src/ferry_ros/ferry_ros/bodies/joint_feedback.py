"""Where joints are, merged by name from any number of `joint_states` publishers, and how old that is."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass

from rclpy.node import Node
from sensor_msgs.msg import JointState

from ferry_ros import convert
from ferry_ros.bodies.ros_camera import SENSOR

GAP_S = 0.5
"""A joint that was silent for longer may have a new driver behind it."""


@dataclass(frozen=True)
class _Reading:
    position: float
    velocity: float
    received_ns: int


class JointFeedback:
    """Listens to `topic` for `names`; its callback runs in whatever thread spins `node`."""

    def __init__(self, node: Node, topic: str, names: tuple[str, ...]) -> None:
        self.names, self.topic = names, topic
        self._changed = threading.Condition()
        self._readings: dict[str, _Reading] = {}
        self._stamps: dict[str, int] = {}
        self._back_s = -math.inf
        node.create_subscription(JointState, topic, self._take, SENSOR)

    @property
    def missing(self) -> tuple[str, ...]:
        """Names that no message has told yet."""
        with self._changed:
            return tuple(name for name in self.names if name not in self._readings)

    @property
    def stamp_ns(self) -> int:
        """When the joint heard of longest ago was heard of, on the monotonic clock; -1 before all were."""
        with self._changed:
            return min((self._readings[n].received_ns for n in self.names), default=-1) if self._complete() else -1

    @property
    def age_s(self) -> float:
        """How old the oldest joint's position is."""
        stamp_ns = self.stamp_ns
        return math.inf if stamp_ns < 0 else time.monotonic() - stamp_ns / 1e9

    @property
    def back_s(self) -> float:
        """How long ago a joint was heard of again after a silence of more than `GAP_S`; infinite if there was none."""
        return time.monotonic() - self._back_s

    def positions(self) -> dict[str, float]:
        """Joint name -> [m] or [rad]; only what was told."""
        with self._changed:
            return {name: reading.position for name, reading in self._readings.items()}

    def velocities(self) -> dict[str, float]:
        """Joint name -> per second, as told or else from the last two positions."""
        with self._changed:
            return {name: reading.velocity for name, reading in self._readings.items()}

    def wait(self, after_ns: int, timeout_s: float) -> bool:
        """Whether every joint was heard of after `after_ns`, within `timeout_s`."""
        with self._changed:
            return self._changed.wait_for(
                lambda: self._complete() and all(self._readings[name].received_ns > after_ns for name in self.names),
                timeout_s,
            )

    def _complete(self) -> bool:
        return all(name in self._readings for name in self.names)

    def _take(self, message: JointState) -> None:
        now_ns = time.monotonic_ns()
        if len(message.position) != len(message.name):
            return
        told: Mapping[str, float] = dict(zip(message.name, message.velocity))
        stamp = convert.stamp_of(message.header)
        with self._changed:
            for name, position in zip(message.name, message.position):
                if name not in self.names or not math.isfinite(position):
                    continue
                if stamp and self._stamps.get(name) == stamp:
                    continue  # said before: a relay that lives behind a driver that does not
                self._stamps[name] = stamp
                before = self._readings.get(name)
                if before and now_ns - before.received_ns > GAP_S * 1e9:
                    self._back_s = now_ns / 1e9
                self._readings[name] = _Reading(position, _velocity(told.get(name), position, before, now_ns), now_ns)
            self._changed.notify_all()


def _velocity(told: float | None, position: float, before: _Reading | None, now_ns: int) -> float:
    if told is not None and math.isfinite(told):
        return told
    if before is None or now_ns <= before.received_ns:
        return 0.0
    return (position - before.position) / (now_ns - before.received_ns) * 1e9
