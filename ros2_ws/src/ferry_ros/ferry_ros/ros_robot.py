"""Robot behind the ROS topics of a robot node, for the policy node and `ferry evaluate --robot ros`."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.node import Node
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import String
from std_srvs.srv import Trigger
from trajectory_msgs.msg import JointTrajectory

from ferry_ros.messages import convert, diagnostics, images, qos
from ferry_ros.messages.json_text import read_json
from ferry_ros.observation_sync import ObservationSync
from ferry_ros.rclpy_support import services
from ferry_ros.rclpy_support.heartbeat import Heartbeat
from ferry_ros.rclpy_support.one_message import one_message
from ferry_ros.rclpy_support.spinner import Spinner, sibling_node
from robots.command import Command
from robots.embodiment import Embodiment
from robots.errors import BindError, ConnectionFailed, NotConnected, RobotError, SpecError
from robots.execution.command_request import CommandRequest, CommandResult
from robots.observation import Observation
from robots.robot import Connected, Sent

PATIENCE_S = 0.1
"""Pause between two requests for a lease."""

FINAL = ("runstop", "e-stop", "two of")
"""Prefixes of refusals of a lease that waiting does not change."""


STARTED_ANEW_NS = 10 * 10**9
"""Stamps that are lower by so much are no late ones: the clock was set back, and the robot node started anew."""


class RobotStopped(RobotError):
    """The robot was stopped, or permits no motion; the caller must not continue by itself."""


@dataclass(frozen=True)
class RosRobotOptions:
    """Timeouts of a RosRobot.

    Attributes:
        valid_for_s: maximum age of an observation at which a motion decided from it may start.
        connect_timeout_s: of finding the robot node.
        begin_timeout_s: of the lease; the robot node may still be waiting for its first permit.
        observe_timeout_s: of an observation newer than the last motion.
        motion_timeout_s: of the result of a command.
        stop_timeout_s: of the stop service, which answers when the robot is at rest.
        kept: number of observations kept; driving needs the newest only, recording needs each.
    """

    valid_for_s: float = 0.5
    connect_timeout_s: float = 5.0
    begin_timeout_s: float = 15.0
    observe_timeout_s: float = 2.0
    motion_timeout_s: float = 10.0
    stop_timeout_s: float = 2.0
    kept: int = 1


class RosRobot(Connected):
    """Drives the robot behind a robot node in the same namespace.

    Args:
        node: in the robot's namespace; the topics have a sibling node of their own.
        body: embodiment that the robot node published.

    Attributes:
        instruction: of the robot's episode, as last published by the robot node; empty when there is none.
        pose: of the base (x_m, y_m, yaw_rad) after the last command; None where the robot node does not report it.
    """

    def __init__(self, node: Node, body: Embodiment, options: RosRobotOptions | None = None) -> None:
        self._node, self._body, self.options = node, body, options or RosRobotOptions()
        self._changed = threading.Condition()
        self._sync = ObservationSync(body, remembered=max(4, self.options.kept))
        self._newest: Observation | None = None
        self._recent: deque[Observation] = deque(maxlen=self.options.kept)
        self._awaited: CommandRequest | None = None
        self._result: CommandResult | None = None
        self._fault = self._stopped = self._lease = ""
        self._heartbeat: Heartbeat | None = None
        self.instruction = ""
        self.pose: tuple[float, float, float] | None = None
        self._seen_ns = self._after_ns = -1
        self._spinner: Spinner | None = None
        self._command: Any = None
        self._beats: Any = None
        self._stop_client: Any = None
        self._begin_client: Any = None

    @property
    def spec(self) -> Embodiment:
        """The robot behind the topics."""
        return self._body

    def connect(self) -> None:
        """Subscribes; ConnectionFailed when no robot node is found or it publishes nothing."""
        node = sibling_node(self._node, "robot")
        newest = qos.newest(self.options.kept)
        for camera in self._body.cameras:
            take = partial(self._take_image, camera.name)
            node.create_subscription(Image, f"camera/{camera.name}/image_raw", take, newest)
        node.create_subscription(JointState, "state", self._take_state, newest)
        node.create_subscription(DiagnosticArray, "result", self._take_result, qos.EVERY)
        node.create_subscription(String, "instruction", self._take_instruction, qos.LATCHED)
        node.create_subscription(DiagnosticStatus, "stopped", self._take_stopped, qos.EVERY)
        self._command = node.create_publisher(JointTrajectory, "command", qos.NEWEST)
        self._beats = node.create_publisher(DiagnosticStatus, "policy_heartbeat", qos.EVERY)
        self._stop_client = node.create_client(Trigger, "stop")
        self._begin_client = node.create_client(Trigger, "begin")
        self._spinner = Spinner(node)
        try:
            self._wait_for_robot()
        except ConnectionFailed:
            self.disconnect()
            raise

    def disconnect(self) -> None:
        """Unsubscribes; idempotent."""
        self._end_lease()
        spinner, self._spinner, self._command, self._stop_client = self._spinner, None, None, None
        if spinner:
            spinner.close()

    def renew(self) -> None:
        """Discards the observations so far, as at the start of an episode; the next one is newer."""
        with self._changed:
            self._fault = self._stopped = ""
        self._forget()

    @contextmanager
    def driving(self) -> Iterator[None]:
        """Holds the robot's lease for one trial; it ends with the first stop by any client.

        Raises RobotError, which names what prevents motion, when it is not granted in time.
        """
        self._require("drive")
        lease = self._ask_for_lease()
        self.renew()
        with self._changed:
            self._lease = lease
            self._heartbeat = Heartbeat(self._beats, self._node.get_fully_qualified_name(), lease)
        try:
            yield
        finally:
            self._end_lease()

    def observe(self) -> Observation:
        """Returns the newest complete observation that shows the effect of the last motion.

        Raises RobotStopped when the robot was stopped by another client, RobotError when none comes in time, and
        SpecError when a message does not fit the robot.
        """
        self._require("observe")
        with self._changed:
            if not self._changed.wait_for(self._has_news, self.options.observe_timeout_s):
                raise RobotError(
                    f"{self._body.name}: no new observation for {self.options.observe_timeout_s} s after the last"
                    " motion; check the cameras and robot_node"
                )
            if self._fault:
                raise RobotError(self._fault)
            if self._stopped:
                raise RobotStopped(f"{self._body.name} stopped: {self._stopped}")
            assert self._newest is not None  # there is a new one and no fault
            self._seen_ns = self._newest.stamp_ns
            return self._newest

    def execute(self, command: Command) -> Sent:
        """Sends `command` as decided from the last observation and waits for its result.

        Raises RobotStopped when the robot was stopped or permits no motion, RobotError when no result comes in time.
        """
        self._require("execute")
        request = CommandRequest(self._seen_ns, command, self.options.valid_for_s, self._lease)
        with self._changed:
            self._awaited, self._result = request, None
        self._command.publish(convert.request_msg(request))
        with self._changed:
            if not self._changed.wait_for(lambda: self._fault or self._result, self.options.motion_timeout_s):
                raise RobotError(
                    f"{self._body.name}: no result of the command within {self.options.motion_timeout_s} s;"
                    " check robot_node"
                )
            if self._fault:
                raise RobotError(self._fault)
            assert self._result is not None  # it answers the request
            self._after_ns = max(self._after_ns, self._result.after_ns)
            if self._result.stopped:
                raise RobotStopped(f"{self._body.name} stopped: {self._result.stopped}")
            return self._result.sent

    def stop(self) -> None:
        """Calls the robot's stop service; a missing reply is logged after the timeout.

        Ends the lease and discards the observations so far: decisions from them would be void.
        """
        client = self._stop_client
        if client is None:
            return
        self._end_lease()
        try:
            services.call(client, Trigger.Request(), self.options.stop_timeout_s)
        except RobotError as error:
            if client.service_is_ready():
                self._node.get_logger().error(f"stop: {error}")
            else:  # it stops its robot when it ends
                self._node.get_logger().info("nothing to stop: no robot node is there any more")
        self._forget()

    def observation(self, stamp_ns: int, timeout_s: float = 0.0) -> Observation:
        """Returns the observation of that stamp, if it is kept or comes in time; else one without images.

        Observations come in request: once a newer one is there, the wait ends.
        """
        with self._changed:
            self._changed.wait_for(lambda: any(seen.stamp_ns >= stamp_ns for seen in self._recent), timeout_s)
            found = [seen for seen in self._recent if seen.stamp_ns == stamp_ns]
        return found[0] if found else Observation(stamp_ns, {})

    def _ask_for_lease(self) -> str:
        deadline, logged = time.monotonic() + self.options.begin_timeout_s, ""
        while True:
            try:
                answer = services.call(self._begin_client, Trigger.Request(), self.options.stop_timeout_s)
                if answer.success:
                    return str(answer.message)
                refusal = str(answer.message)
            except RobotError as error:  # DDS may still list a node that was killed
                refusal = str(error)
            if refusal.startswith(FINAL) or time.monotonic() > deadline:
                raise RobotStopped(f"{self._body.name} does not grant a lease: {refusal}")
            if refusal != logged:
                logged = refusal
                self._node.get_logger().info(f"waiting for a lease: {refusal}")
            time.sleep(PATIENCE_S)

    def _end_lease(self) -> None:
        with self._changed:
            heartbeat, self._heartbeat, self._lease = self._heartbeat, None, ""
        if heartbeat:
            heartbeat.end()

    def _forget(self) -> None:
        with self._changed:
            self._after_ns = max(self._after_ns, self._newest.stamp_ns if self._newest else -1)

    def _require(self, operation: str) -> None:
        if self._command is None:
            raise NotConnected(self._body.name, operation)

    def _wait_for_robot(self) -> None:
        deadline = time.monotonic() + self.options.connect_timeout_s
        while self._command.get_subscription_count() == 0 or not self._stop_client.service_is_ready():
            if time.monotonic() > deadline:
                topic = self._command.topic_name
                raise ConnectionFailed(f"no node subscribes to {topic}; is the robot node running in this namespace?")
            time.sleep(0.02)
        with self._changed:
            if not self._changed.wait_for(self._has_news, max(0.0, deadline - time.monotonic())):
                raise ConnectionFailed(f"no complete observation of {self._body.name}; are its cameras alive?")

    def _has_news(self) -> bool:
        is_news = self._newest is not None and self._newest.stamp_ns > self._after_ns
        return is_news or bool(self._fault or self._stopped)

    def _keep(self, result: CommandResult) -> None:
        """Keeps the result that is awaited; others may be answered too, and a motion's end has one of its own."""
        awaited = self._awaited
        if awaited and (result.stamp_ns, result.lease) == (awaited.stamp_ns, awaited.lease):
            self._result = result

    def _take_instruction(self, message: String) -> None:
        self.instruction = message.data

    def _take_stopped(self, message: DiagnosticStatus) -> None:
        """Handles a stop of the robot, which has no result when nothing moved."""
        ended = diagnostics.values_of(message).get("lease")
        with self._changed:
            if ended and ended == self._lease:
                self._stopped = message.message
                self._changed.notify_all()

    def _take_image(self, camera: str, message: Image) -> None:
        stamp_ns = convert.stamp_of(message.header)
        self._take(lambda: self._sync.add_image(stamp_ns, camera, images.decode(message)))

    def _take_state(self, message: JointState) -> None:
        stamp_ns = convert.stamp_of(message.header)
        self._take(lambda: self._sync.add_state(stamp_ns, convert.state_of(message, self._body)))

    def _take(self, part: Callable[[], Observation | None]) -> None:
        with self._changed:
            try:
                complete = part()
            except RobotError as error:
                self._fault = str(error)
            else:
                if complete and self._newest and complete.stamp_ns < self._newest.stamp_ns - STARTED_ANEW_NS:
                    self._newest, self._after_ns = None, -1
                    self._recent.clear()
                if complete and (self._newest is None or complete.stamp_ns > self._newest.stamp_ns):
                    self._newest = complete
                    self._recent.append(complete)
            self._changed.notify_all()

    def _take_result(self, message: DiagnosticArray) -> None:
        with self._changed:
            try:
                self._keep(diagnostics.result_of(message))
                self.pose = diagnostics.pose_of(message) or self.pose
            except RobotError as error:
                self._fault = str(error)
            self._changed.notify_all()


def find_body(node: Node, name: str, timeout_s: float) -> Embodiment:
    """Returns the embodiment that the robot node in this namespace publishes.

    Raises ConnectionFailed when there is none in time, BindError when its name is not `name` (empty: any).
    """
    message, topic = one_message(node, String, "embodiment", qos.LATCHED, timeout_s)
    if message is None:
        raise ConnectionFailed(f"no node publishes {topic}; is the robot node running?")
    try:
        body = Embodiment.from_json(read_json(message.data))
    except ValueError as error:
        raise SpecError(topic, error, "the embodiment of a robot node") from error
    if name and body.name != name:
        raise BindError("body", "body of the robot node", body.name, name, [body.name])
    return body
