"""A Robot at the other end of ROS topics: what the policy node and `ferry evaluate --robot ros` drive."""

from __future__ import annotations

import json
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

from ferry_ros.messages import convert, diagnostics, qos
from ferry_ros.observation_sync import ObservationSync
from ferry_ros.rclpy_support import services
from ferry_ros.rclpy_support.heartbeat import Heartbeat
from ferry_ros.rclpy_support.spinner import Spinner, sibling_node
from robots.command import Command
from robots.embodiment import Embodiment
from robots.errors import BindError, ConnectionFailed, NotConnected, RobotError
from robots.execution.command_request import CommandRequest, CommandResult
from robots.observation import Observation
from robots.robot import Connected, Sent

PATIENCE_S = 0.1
"""Between two requests for a lease."""

FINAL = ("runstop", "e-stop", "two of")
"""How a refusal to hand out a lease begins that waiting does not change."""


class RobotStopped(RobotError):
    """The robot was stopped, or lets nothing move; whoever drives it must not go on by itself."""


@dataclass(frozen=True)
class RosRobotOptions:
    """How long a RosRobot waits; every wait has an end.

    Attributes:
        valid_for_s: how long after an observation was taken a motion decided from it may start.
        connect_timeout_s: until the robot node must have been found.
        begin_timeout_s: until the robot node must have handed out its lease; its own first permit may be on its way.
        observe_timeout_s: until an observation newer than the last motion must have come.
        motion_timeout_s: until the result of a command must have come.
        stop_timeout_s: until the stop service must have answered; it answers when the robot stands.
        kept: how many observations are kept; who drives needs the newest alone, who records needs each.
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
        node: whose namespace the robot is in; this robot's topics have a node of their own beside it.
        body: what the robot node published on `embodiment`.

    Attributes:
        instruction: what the robot's episode asks for, as the robot node said last; empty when it asks for nothing.
    """

    def __init__(self, node: Node, body: Embodiment, options: RosRobotOptions | None = None) -> None:
        self._node, self._body, self.options = node, body, options or RosRobotOptions()
        self._changed = threading.Condition()
        self._sync = ObservationSync(body, remembered=max(4, self.options.kept))
        self._newest: Observation | None = None
        self._recent: deque[Observation] = deque(maxlen=self.options.kept)
        self._result: CommandResult | None = None
        self._trouble = self._stopped = self._lease = ""
        self._heartbeat: Heartbeat | None = None
        self.instruction = ""
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
        node.create_subscription(JointState, "joint_states", self._take_state, newest)
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
        """Lets the topics go; also called twice."""
        self._end_lease()
        spinner, self._spinner, self._command, self._stop_client = self._spinner, None, None, None
        if spinner:
            spinner.close()

    def renew(self) -> None:
        """Forgets what was seen so far, as at the start of an episode; the next observation is newer."""
        with self._changed:
            self._trouble = self._stopped = ""
        self._forget()

    @contextmanager
    def driving(self) -> Iterator[None]:
        """Holds the robot's lease for one trial; it ends with the first stop, whoever asks for that.

        Raises RobotError, which names what keeps the robot from moving, when it is not handed out in time.
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
        """The newest complete observation that shows the effect of the last motion.

        Raises RobotStopped when the robot was stopped by somebody else, RobotError when none comes in time, and
        SpecError when what comes does not fit the robot.
        """
        self._require("observe")
        with self._changed:
            if not self._changed.wait_for(self._has_news, self.options.observe_timeout_s):
                raise RobotError(
                    f"{self._body.name}: got no new observation within {self.options.observe_timeout_s} s, expected one"
                    " after every motion; are the cameras and the robot node alive?"
                )
            if self._trouble:
                raise RobotError(self._trouble)
            if self._stopped:
                raise RobotStopped(f"{self._body.name} stopped: {self._stopped}")
            assert self._newest is not None  # there is news and no trouble
            self._seen_ns = self._newest.stamp_ns
            return self._newest

    def execute(self, command: Command) -> Sent:
        """Sends `command` as decided from the last observation and waits for its result.

        Raises RobotStopped when the robot was stopped or lets nothing move, RobotError when no result comes in time.
        """
        self._require("execute")
        order = CommandRequest(self._seen_ns, command, self.options.valid_for_s, self._lease)
        with self._changed:
            self._result = None
        self._command.publish(convert.order_msg(order))
        with self._changed:
            if not self._changed.wait_for(lambda: self._trouble or self._answers(order), self.options.motion_timeout_s):
                raise RobotError(
                    f"{self._body.name}: got no result within {self.options.motion_timeout_s} s, expected one for every"
                    " command; is the robot node alive?"
                )
            if self._trouble:
                raise RobotError(self._trouble)
            assert self._result is not None  # it answers the order
            self._after_ns = max(self._after_ns, self._result.after_ns)
            if self._result.stopped:
                raise RobotStopped(f"{self._body.name} stopped: {self._result.stopped}")
            return self._result.sent

    def stop(self) -> None:
        """Calls the robot's stop service; returns in time even when nothing answers, which is logged.

        That ends the lease, and what was seen before it is forgotten: a decision made from it would be void.
        """
        if self._stop_client is None:
            return
        self._end_lease()
        try:
            services.call(self._stop_client, Trigger.Request(), self.options.stop_timeout_s)
        except RobotError as error:
            self._node.get_logger().error(f"stop: {error}")
        self._forget()

    def observation(self, stamp_ns: int, timeout_s: float = 0.0) -> Observation:
        """The observation of that stamp, if it is kept or comes in time; else one without images.

        They come in order: once a newer one is there, this one is not waited for any more.
        """
        with self._changed:
            self._changed.wait_for(lambda: any(one.stamp_ns >= stamp_ns for one in self._recent), timeout_s)
            found = [one for one in self._recent if one.stamp_ns == stamp_ns]
        return found[0] if found else Observation(stamp_ns, {})

    def _ask_for_lease(self) -> str:
        deadline, told = time.monotonic() + self.options.begin_timeout_s, ""
        while True:
            try:
                answer = services.call(self._begin_client, Trigger.Request(), self.options.stop_timeout_s)
                if answer.success:
                    return str(answer.message)
                refusal = str(answer.message)
            except RobotError as error:  # it may have gone to a node that was killed and is not forgotten yet
                refusal = str(error)
            if refusal.startswith(FINAL) or time.monotonic() > deadline:
                raise RobotStopped(f"{self._body.name} lets nobody drive: {refusal}")
            if refusal != told:
                told = refusal
                self._node.get_logger().info(f"waiting to drive: {refusal}")
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
                raise ConnectionFailed(f"nobody listens on {topic}; is the robot node running in this namespace?")
            time.sleep(0.02)
        with self._changed:
            if not self._changed.wait_for(self._has_news, max(0.0, deadline - time.monotonic())):
                raise ConnectionFailed(f"no complete observation of {self._body.name}; are its cameras alive?")

    def _has_news(self) -> bool:
        is_news = self._newest is not None and self._newest.stamp_ns > self._after_ns
        return is_news or bool(self._trouble or self._stopped)

    def _answers(self, order: CommandRequest) -> bool:
        result = self._result  # another robot of that name may answer too
        return result is not None and (result.stamp_ns, result.lease) == (order.stamp_ns, order.lease)

    def _take_instruction(self, message: String) -> None:
        self.instruction = message.data

    def _take_stopped(self, message: DiagnosticStatus) -> None:
        """Somebody stopped the robot, maybe while nothing moved: then no result tells of it."""
        ended = diagnostics.values_of(message).get("lease")
        with self._changed:
            if ended and ended == self._lease:
                self._stopped = message.message
                self._changed.notify_all()

    def _take_image(self, camera: str, message: Image) -> None:
        stamp_ns = convert.stamp_of(message.header)
        self._take(lambda: self._sync.add_image(stamp_ns, camera, convert.image_of(message)))

    def _take_state(self, message: JointState) -> None:
        stamp_ns = convert.stamp_of(message.header)
        self._take(lambda: self._sync.add_state(stamp_ns, convert.state_of(message, self._body)))

    def _take(self, part: Callable[[], Observation | None]) -> None:
        with self._changed:
            try:
                complete = part()
            except RobotError as error:
                self._trouble = str(error)
            else:
                if complete and (self._newest is None or complete.stamp_ns > self._newest.stamp_ns):
                    self._newest = complete
                    self._recent.append(complete)
            self._changed.notify_all()

    def _take_result(self, message: DiagnosticArray) -> None:
        with self._changed:
            try:
                self._result = diagnostics.result_of(message)
            except RobotError as error:
                self._trouble = str(error)
            self._changed.notify_all()


def find_body(node: Node, name: str, timeout_s: float) -> Embodiment:
    """The robot that the robot node in this namespace publishes.

    Raises ConnectionFailed when there is none in time, BindError when it is not the one called `name` (empty: any).
    """
    found: list[str] = []
    there = threading.Event()

    def take(message: String) -> None:
        found.append(message.data)
        there.set()

    listener = sibling_node(node, "finder")
    topic = listener.create_subscription(String, "embodiment", take, qos.LATCHED).topic_name
    spinner = Spinner(listener)
    try:
        if not there.wait(timeout_s):
            raise ConnectionFailed(f"nobody publishes {topic}; is the robot node running?")
    finally:
        spinner.close()
    body = Embodiment.from_json(json.loads(found[0]))
    if name and body.name != name:
        raise BindError("body", "body of the robot node", body.name, name, [body.name])
    return body
