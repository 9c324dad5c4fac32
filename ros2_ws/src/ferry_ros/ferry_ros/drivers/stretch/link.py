"""The topics and services of the vendor's `stretch_driver`, as hello-robot/stretch_ros2 (branch humble) has them."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from geometry_msgs.msg import Twist
from sensor_msgs.msg import BatteryState, JointState
from std_msgs.msg import Bool, Float64MultiArray, String
from std_srvs.srv import Trigger

from ferry_ros.drivers.odometry import OdometryFeedback
from ferry_ros.drivers.publishers import Publishers
from ferry_ros.drivers.stretch import qpos
from ferry_ros.drivers.vendor_node import Link
from ferry_ros.messages import qos
from robots.embodiments.stretch_re1 import STRETCH_RE1
from robots.errors import ConnectionFailed, RobotError
from robots.plausibility import Plausibility, of_joints

SERVICES = (
    "stop_the_robot",
    "get_joint_states",
    "switch_to_navigation_mode",
    "activate_streaming_position",
    "deactivate_streaming_position",
)
JOINTS = "stretch/joint_states"
ASK_AGAIN_S = 0.5
FLAGS = ("is_homed", "is_runstopped", "is_streaming_position")
TEXTS = ("mode", "tool")


@dataclass(frozen=True)
class Feedback:
    """The joints as measured at `stamp_ns` (monotonic): positions [m] or [rad], efforts [%]."""

    stamp_ns: int
    positions: dict[str, float]
    efforts: dict[str, float] = field(default_factory=dict)


class StretchLink(Link):
    """Topics and services of the vendor's driver. Every name is relative to `namespace`; the vendor's is the root.

    Attributes:
        odometry: of the wheels.
        feedback: the newest joint states; with stamp -1 before the first.
        flags: those of `FLAGS` that were received.
        texts: those of `TEXTS` that were received.
        voltage_v: of the battery; None before it was received.
        percentage: of the battery in [0, 1]; None where the driver does not report it.
    """

    def __init__(self, namespace: str = "") -> None:
        super().__init__("ferry_stretch", namespace)
        assert STRETCH_RE1.base is not None  # an RE1 has one
        self.odometry = OdometryFeedback(self.node, "odom", qos.NEWEST, STRETCH_RE1.base)
        self._plausible = Plausibility(of_joints(STRETCH_RE1), f"; are two nodes publishing {JOINTS}?")
        self._publishers = Publishers(self.node, JOINTS, exclusive=True)
        self.feedback = Feedback(-1, {})
        self.flags: dict[str, bool] = {}
        self.texts: dict[str, str] = {}
        self.voltage_v: float | None = None
        self.percentage: float | None = None
        self._changed = threading.Condition()
        self._limits: JointState | None = None
        self._stopping: Any = None
        self._stopping_s = -1.0
        self._listen()
        self._pose_cmd = self.node.create_publisher(Float64MultiArray, "joint_pose_cmd", qos.NEWEST)
        self._cmd_vel = self.node.create_publisher(Twist, "stretch/cmd_vel", qos.NEWEST)
        self._clients = {name: self.node.create_client(Trigger, name) for name in SERVICES}

    def _listen(self) -> None:
        listen = self.node.create_subscription
        listen(JointState, JOINTS, cast(Any, self._take_joints), qos.NEWEST)
        listen(JointState, "joint_limits", self._take_limits, qos.NEWEST)
        listen(BatteryState, "battery", self._take_battery, qos.NEWEST)
        for name in FLAGS:
            self._keep(Bool, name, self.flags)
        for name in TEXTS:
            self._keep(String, name, self.texts)

    def _keep(self, kind: Any, name: str, kept: dict[str, Any]) -> None:
        def take(message: Any) -> None:
            kept[name] = message.data

        self.node.create_subscription(kind, name, take, qos.NEWEST)

    def silence_s(self) -> float:
        """Time since the last plausible message of the joints or the odometry."""
        return max(time.monotonic() - self.feedback.stamp_ns / 1e9, self.odometry.age_s)

    @property
    def implausible(self) -> str:
        """Fault of the feedback of joints or wheels; empty when it is plausible."""
        return self._publishers.fault or self._plausible.fault or self.odometry.fault

    def wait(self, after_ns: int, timeout_s: float) -> Feedback:
        """The newest feedback once it is from after `after_ns`; RobotError when none comes in time."""
        with self._changed:
            if not self._changed.wait_for(lambda: self.feedback.stamp_ns > after_ns, timeout_s):
                topic = self.node.resolve_topic_name(JOINTS)
                raise RobotError(f"feedback stale: no new message on {topic} within {timeout_s} s")
            return self.feedback

    def limits(self, timeout_s: float) -> dict[str, tuple[float, float]]:
        """The ranges of this robot's joints. The driver publishes them once when it is asked; so it is asked again."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            self.ask("get_joint_states", timeout_s)
            with self._changed:
                self._changed.wait_for(lambda: self._limits is not None, 0.2)
            if self._limits is not None:
                return qpos.ranges_of(self._limits)
        raise ConnectionFailed(f"/joint_limits: got nothing within {timeout_s} s after /get_joint_states was called")

    def ask(self, service: str, timeout_s: float) -> str:
        """Calls one of the driver's services; RobotError when it does not answer in time or fails.

        It is asked again when no answer comes: a driver that has just been started may not have found this node yet.
        None of these services minds.
        """
        deadline = time.monotonic() + timeout_s
        while True:
            left_s = max(0.0, deadline - time.monotonic())
            try:
                return self.trigger(self._clients[service], min(ASK_AGAIN_S, left_s))
            except RobotError:
                if left_s <= ASK_AGAIN_S:
                    raise

    def offers(self, service: str, timeout_s: float) -> bool:
        """True when the driver has that service."""
        return bool(self._clients[service].wait_for_service(timeout_s))

    def send_pose(self, positions: dict[str, float]) -> None:
        """Streams positions [m] or [rad]; the driver takes those of all joints, each time."""
        self._pose_cmd.publish(Float64MultiArray(data=qpos.pose_cmd(positions)))

    def send_velocity(self, forward_mps: float, turn_radps: float) -> None:
        """Navigation mode only; forgotten by the driver after 0.5 s."""
        twist = Twist()
        twist.linear.x, twist.angular.z = forward_mps, turn_radps
        self._cmd_vel.publish(twist)

    def stop_all(self) -> Any:
        """Asks the driver to stop every actuator, and waits for nothing.

        Returns the future of its answer, None when it cannot be asked; while it was asked, it is not asked again.
        """
        now, client = time.monotonic(), self._clients["stop_the_robot"]
        if self._stopping is None or self._stopping.done() or now - self._stopping_s > ASK_AGAIN_S:
            self._stopping_s = now
            self._stopping = client.call_async(Trigger.Request()) if client.service_is_ready() else None
        return self._stopping

    def await_stop(self, timeout_s: float) -> None:
        """Waits for the answer to `stop_all`, so that nothing follows it."""
        deadline = time.monotonic() + timeout_s
        while self._stopping is not None and not self._stopping.done() and time.monotonic() < deadline:
            time.sleep(0.01)

    def _take_joints(self, message: JointState, info: Mapping[str, Any]) -> None:
        now_ns, positions = time.monotonic_ns(), qpos.positions_of(message)
        if not positions.keys() >= set(qpos.ORDER):
            return
        self._publishers.take(("the joints",), info)
        if self._plausible.take(positions, now_ns / 1e9, info["source_timestamp"] / 1e9):
            with self._changed:
                self.feedback = Feedback(now_ns, positions, qpos.efforts_of(message))
                self._changed.notify_all()

    def _take_limits(self, message: JointState) -> None:
        with self._changed:
            self._limits = message
            self._changed.notify_all()

    def _take_battery(self, message: BatteryState) -> None:
        self.voltage_v = message.voltage
        self.percentage = message.percentage if 0.0 <= message.percentage <= 1.0 else None  # NaN: not reported
