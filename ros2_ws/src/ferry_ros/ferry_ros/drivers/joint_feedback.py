"""Joint feedback, merged by name from any number of publishers: positions, age and plausibility."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from rclpy.node import Node
from sensor_msgs.msg import JointState

from ferry_ros.drivers.publishers import Publishers
from ferry_ros.drivers.ros_camera import SENSOR
from ferry_ros.messages import convert
from robots.plausibility import Plausibility, Possible

GAP_S = 0.5
"""After a longer silence a joint may have a new driver."""


@dataclass(frozen=True)
class _Reading:
    position: float
    velocity: float
    received_ns: int


class JointFeedback:
    """Subscribes to `topic`; its callback runs in the thread that spins `node`.

    A message with an implausible value is rejected as a whole.

    Args:
        possible: bounds of each expected joint.
    """

    def __init__(self, node: Node, topic: str, possible: Mapping[str, Possible]) -> None:
        self.names, self.topic = tuple(possible), topic
        self._possible = possible
        self._plausible = Plausibility(possible, f"; are two nodes publishing {topic}?")
        self._publishers = Publishers(node, topic, exclusive=False)
        self._changed = threading.Condition()
        self._readings: dict[str, _Reading] = {}
        self._stamps: dict[str, int] = {}
        self._back_s = -math.inf
        node.create_subscription(JointState, topic, cast(Any, self._take), SENSOR)

    @property
    def missing(self) -> tuple[str, ...]:
        """Names of joints that no message has contained yet."""
        with self._changed:
            return tuple(name for name in self.names if name not in self._readings)

    @property
    def stamp_ns(self) -> int:
        """Monotonic time of the oldest joint's message; -1 before all were received."""
        with self._changed:
            return min((self._readings[n].received_ns for n in self.names), default=-1) if self._complete() else -1

    @property
    def age_s(self) -> float:
        """Age of the oldest joint's position."""
        stamp_ns = self.stamp_ns
        return math.inf if stamp_ns < 0 else time.monotonic() - stamp_ns / 1e9

    @property
    def back_s(self) -> float:
        """Time since a joint came back after a silence of more than `GAP_S`; infinite if there was none."""
        return time.monotonic() - self._back_s

    @property
    def fault(self) -> str:
        """Fault of the feedback: "two publishers: ...", "feedback jumps: ..."; empty when it is plausible."""
        return self._publishers.fault or self._plausible.fault

    def positions(self) -> dict[str, float]:
        """Joint name -> [m] or [rad], of the plausible values received."""
        with self._changed:
            return {name: reading.position for name, reading in self._readings.items()}

    def velocities(self) -> dict[str, float]:
        """Joint name -> speed, as published or from the last two positions; clipped to the joint's top speed."""
        with self._changed:
            return {name: reading.velocity for name, reading in self._readings.items()}

    def wait(self, after_ns: int, timeout_s: float) -> bool:
        """Waits until every joint was received after `after_ns`; False after `timeout_s`."""
        with self._changed:
            return self._changed.wait_for(
                lambda: self._complete() and all(self._readings[name].received_ns > after_ns for name in self.names),
                timeout_s,
            )

    def _complete(self) -> bool:
        return all(name in self._readings for name in self.names)

    def _take(self, message: JointState, info: Mapping[str, Any]) -> None:
        now_ns = time.monotonic_ns()
        if len(message.position) != len(message.name):
            return
        speeds: Mapping[str, float] = dict(zip(message.name, message.velocity))
        received = self._news(message)
        self._publishers.take(received, info)
        if not self._plausible.take(received, now_ns / 1e9, info["source_timestamp"] / 1e9):
            return
        with self._changed:
            for name, position in received.items():
                before = self._readings.get(name)
                if before and now_ns - before.received_ns > GAP_S * 1e9:
                    self._back_s = now_ns / 1e9
                max_speed = self._possible[name].max_speed
                speed = _velocity(speeds.get(name), position, before, now_ns)
                self._readings[name] = _Reading(position, min(max(speed, -max_speed), max_speed), now_ns)
            self._changed.notify_all()

    def _news(self, message: JointState) -> dict[str, float]:
        """New positions of the expected joints; skips a repeated stamp: a relay may outlive its driver."""
        stamp = convert.stamp_of(message.header)
        received = {
            name: position
            for name, position in zip(message.name, message.position)
            if name in self._possible and not (stamp and self._stamps.get(name) == stamp)
        }
        self._stamps.update(dict.fromkeys(received, stamp))
        return received


def _velocity(received: float | None, position: float, before: _Reading | None, now_ns: int) -> float:
    if received is not None and math.isfinite(received):
        return received
    if before is None or now_ns <= before.received_ns:
        return 0.0
    return (position - before.position) / (now_ns - before.received_ns) * 1e9
