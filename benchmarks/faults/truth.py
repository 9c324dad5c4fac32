"""Ground truth of a robot's position during a fault, from the fake or the twin, not from the nodes under test."""

from __future__ import annotations

import itertools
import math
import struct
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ferry_ros.messages import convert, qos
from nav_msgs.msg import Odometry
from rclpy.node import Node
from sensor_msgs.msg import JointState

from robots.arms.kinematics import Kinematics
from robots.processes.control_socket import tell

Place = tuple[float, ...]
INTRUDER = "intruder"
"""frame_id of what a second publisher says of a robot's own topic while faults are planted: it is not the truth."""

STILL = 3e-4
"""Less change between two samples [m] or [rad] is standing still: 1.5 cm/s at 50 Hz."""

SAMPLE_S = 0.02


class Truth:
    """Samples of a robot's place [m] or [rad], each with its monotonic time [s]; `close` ends the sampling."""

    unit = "m"

    def __init__(self) -> None:
        self.samples: list[tuple[float, Place]] = []

    def add(self, place: Sequence[float]) -> None:
        """One sample, taken now."""
        self.samples.append((time.monotonic(), tuple(float(value) for value in place)))

    def close(self) -> None:
        """Nothing to end."""

    def last_moved_s(self, until_s: float = math.inf) -> float:
        """When the place last changed before that."""
        pairs = itertools.pairwise(self.samples.copy())
        return max((at for (_, before), (at, now) in pairs if at < until_s and _differ(before, now)), default=0.0)

    def heard_after(self, since_s: float) -> bool:
        """Whether the robot itself reported its place after that."""
        return any(at > since_s + 0.1 for at, _ in self.samples)

    def moving(self) -> bool:
        """Whether it changed between the newest samples."""
        return len(self.samples) > 2 and _differ(self.samples[-1][1], self.samples[-3][1])

    def way(self, since_s: float, until_s: float = math.inf) -> float:
        """How far it went after `since_s` and before `until_s`: sample by sample, or from end to end where it crept."""
        places = [np.array(place) for at, place in self.samples.copy() if since_s <= at < until_s]
        steps = [float(np.linalg.norm(b - a)) for a, b in itertools.pairwise(places) if _differ(tuple(a), tuple(b))]
        crept = float(np.linalg.norm(places[-1] - places[0])) if places else 0.0
        return max(sum(steps), crept)


class OdomTruth(Truth):
    """(x, y) [m] of an Odometry topic, taken down at most every `SAMPLE_S`."""

    def __init__(self, node: Node, topic: str) -> None:
        super().__init__()
        node.create_subscription(Odometry, topic, self._take, qos.NEWEST)

    def _take(self, message: Odometry) -> None:
        if message.header.frame_id == INTRUDER:
            return
        if not self.samples or time.monotonic() - self.samples[-1][0] >= 0.9 * SAMPLE_S:
            self.add(convert.pose_of(message)[:2])


class JointTruth(Truth):
    """Joint positions [rad] of a JointState topic."""

    unit = "rad"

    def __init__(self, node: Node, topic: str, joints: Sequence[str]) -> None:
        super().__init__()
        self._joints = joints
        node.create_subscription(JointState, topic, self._take, qos.NEWEST)

    def _take(self, message: JointState) -> None:
        if message.header.frame_id == INTRUDER:
            return
        if self.samples and time.monotonic() - self.samples[-1][0] < 0.9 * SAMPLE_S:
            return
        values = dict(zip(message.name, message.position))
        if all(joint in values for joint in self._joints):
            self.add([values[joint] for joint in self._joints])


class Polled(Truth):
    """What `read` returns, fifty times a second; nothing while it raises ConnectionError."""

    def __init__(self, read: Callable[[], Place]) -> None:
        super().__init__()
        self._read, self._ended = read, threading.Event()
        threading.Thread(target=self._poll, daemon=True).start()

    def close(self) -> None:
        """Ends the sampling."""
        self._ended.set()

    def _poll(self) -> None:
        while not self._ended.wait(SAMPLE_S):
            try:
                self.add(self._read())
            except ConnectionError:
                continue


def stretch_truth(fleet: Path) -> Polled:
    """How far the base of the fake Stretch drove [m]."""
    return Polled(lambda: (tell(fleet, "state")["travelled_m"],))


class CanTruth(Truth):
    """The Piper's fingertips [m], from the joint angles that the arm itself sends on its bus."""

    def __init__(self, bus: Any, kinematics: Kinematics) -> None:
        super().__init__()
        self._bus, self._kinematics = bus, kinematics
        self._ended = threading.Event()
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def close(self) -> None:
        """Ends the listening."""
        self._ended.set()
        self._listener.join(1.0)
        self._bus.shutdown()

    def _listen(self) -> None:
        q = [math.nan] * 6
        while not self._ended.is_set():
            message = self._bus.recv(0.1)
            if message is None or not 0x2A5 <= message.arbitration_id <= 0x2A7:
                continue
            first = 2 * (message.arbitration_id - 0x2A5)
            q[first : first + 2] = [math.radians(value / 1000.0) for value in struct.unpack(">ii", message.data)]
            due = not self.samples or time.monotonic() - self.samples[-1][0] >= 0.9 * SAMPLE_S
            if first == 4 and due and not any(map(math.isnan, q)):
                position, _ = self._kinematics.forward(np.array(q))
                self.add(position.tolist())


def _differ(a: Place, b: Place) -> bool:
    return max((abs(one - other) for one, other in zip(a, b)), default=0.0) > STILL
