"""Where joints are, merged by name from any number of publishers; how old that is, and whether it can be."""

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
"""A joint that was silent for longer may have a new driver behind it."""


@dataclass(frozen=True)
class _Reading:
    position: float
    velocity: float
    received_ns: int


class JointFeedback:
    """Listens to `topic`; its callback runs in whatever thread spins `node`.

    A message that tells of a joint what cannot be is not believed in any of its numbers.

    Args:
        possible: what each joint that is listened for can be measured at.
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

    @property
    def fault(self) -> str:
        """Why what is told cannot be believed: "two publishers: ...", "feedback jumps: ..."; empty when it can."""
        return self._publishers.fault or self._plausible.fault

    def positions(self) -> dict[str, float]:
        """Joint name -> [m] or [rad]; only what was told and can be."""
        with self._changed:
            return {name: reading.position for name, reading in self._readings.items()}

    def velocities(self) -> dict[str, float]:
        """Joint name -> per second, as told or else from the last two positions; never above the joint's top speed."""
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

    def _take(self, message: JointState, info: Mapping[str, Any]) -> None:
        now_ns = time.monotonic_ns()
        if len(message.position) != len(message.name):
            return
        speeds: Mapping[str, float] = dict(zip(message.name, message.velocity))
        told = self._news(message)
        self._publishers.take(told, info)
        if not self._plausible.take(told, now_ns / 1e9, info["source_timestamp"] / 1e9):
            return
        with self._changed:
            for name, position in told.items():
                before = self._readings.get(name)
                if before and now_ns - before.received_ns > GAP_S * 1e9:
                    self._back_s = now_ns / 1e9
                most = self._possible[name].max_speed
                speed = _velocity(speeds.get(name), position, before, now_ns)
                self._readings[name] = _Reading(position, min(max(speed, -most), most), now_ns)
            self._changed.notify_all()

    def _news(self, message: JointState) -> dict[str, float]:
        """What is told of our joints; not what was told before: a relay lives behind a driver that does not."""
        stamp = convert.stamp_of(message.header)
        told = {
            name: position
            for name, position in zip(message.name, message.position)
            if name in self._possible and not (stamp and self._stamps.get(name) == stamp)
        }
        self._stamps.update(dict.fromkeys(told, stamp))
        return told


def _velocity(told: float | None, position: float, before: _Reading | None, now_ns: int) -> float:
    if told is not None and math.isfinite(told):
        return told
    if before is None or now_ns <= before.received_ns:
        return 0.0
    return (position - before.position) / (now_ns - before.received_ns) * 1e9
