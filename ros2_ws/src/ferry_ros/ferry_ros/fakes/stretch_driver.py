"""`fake_stretch_driver`: a Stretch RE1 without hardware, with the topics, services and manners of the vendor's driver.

After hello-robot/stretch_ros2, branch humble, stretch_core/stretch_driver.py: commands in the wrong mode only log an
error, targets out of range are clipped in silence, a velocity is forgotten after 0.5 s, a streamed position never.
It also publishes the two cameras of an RE1. Names are relative, so that it can be put into a namespace.
"""

from __future__ import annotations

import array
import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import Event
from typing import Any

import numpy as np
from geometry_msgs.msg import Quaternion, Twist
from nav_msgs.msg import Odometry
from rclpy.node import Node
from sensor_msgs.msg import BatteryState, Image, JointState
from std_msgs.msg import Bool, Float64MultiArray, Header, String
from std_srvs.srv import SetBool, Trigger

from ferry_ros.drivers.stretch import qpos as stretch_qpos
from ferry_ros.fakes.stretch_mechanics import AXES, GRIPPER, Mechanics
from ferry_ros.messages import qos
from ferry_ros.rclpy_support import parameters
from ferry_ros.rclpy_support.process import run
from ferry_ros.rclpy_support.spinner import Spinner, sibling_node
from ferry_ros.rclpy_support.timer import steady_timer

STREAMED = ("position", "navigation")
CAMERAS = ("navigation_camera", "manipulation_camera")


@dataclass(frozen=True)
class FakeStretchOptions:
    """Options and faults of the fake; every fault is off by default. The options between `home_s` and
    `camera_height` can be set while it runs.

    Attributes:
        rate: how often it publishes, in Hz, as the vendor's.
        timeout: after so many seconds a velocity is forgotten, as the vendor's.
        pace: how many times faster than those of a real one its joints are.
        latency_s: how many seconds later than it came a command takes effect.
        streaming: whether it has streaming position control, as drivers since August 2024.
        tool: message on /tool.
        homed: whether the robot was homed; the service /home_the_robot homes it.
        home_s: how many seconds homing takes.
        voltage_v: of the battery.
        object_m: width in metres of what is between the fingers; 0 when there is nothing.
        wall_m: distance of a wall ahead of the base's start, in metres.
        lift_stops_m: at which height something stops the lift, in metres.
        lift_clips_m: above which height targets of the lift are clipped; the published limits do not contain it.
        silent: it publishes nothing more, as when its computer is cut off.
        frozen_cameras: the cameras repeat the same image.
        camera_height: of both images, in pixels.
        camera_width: of both images, in pixels.
        camera_rate_hz: how often each camera publishes.
    """

    rate: float = 30.0
    timeout: float = 0.5
    pace: float = 1.0
    latency_s: float = 0.03
    streaming: bool = True
    tool: str = stretch_qpos.TOOL
    homed: bool = True
    home_s: float = 2.0
    voltage_v: float = 12.6
    object_m: float = 0.04
    wall_m: float | None = None
    lift_stops_m: float | None = None
    lift_clips_m: float | None = None
    silent: bool = False
    frozen_cameras: bool = False
    camera_height: int = 720
    camera_width: int = 1280
    camera_rate_hz: float = 15.0


class FakeStretchDriver(Node):
    """The driver's node."""

    def __init__(self) -> None:
        super().__init__("stretch_driver")
        self.finished, self.exit_code = Event(), 0
        parameters.declare(self, FakeStretchOptions)
        self.options = parameters.read(self, FakeStretchOptions)
        self._mechanics = Mechanics(pace=self.options.pace)
        self._mode, self._mode_before = "position", "position"
        self._homed, self._runstopped, self._streaming = self.options.homed, False, False
        self._twist, self._twist_s = (0.0, 0.0), -math.inf
        self._due: deque[tuple[float, Callable[[], None]]] = deque()
        self._advanced_s = time.monotonic()
        self._advertise()
        self._serve()
        steady_timer(self, 1.0 / self.options.rate, self._tick)
        steady_timer(self, 1.0 / self.options.camera_rate_hz, self._publish_images)
        self.get_logger().info("ready: a fake Stretch RE1")

    def close(self, reason: str) -> None:
        """Nothing to let go but the services."""
        self._serving.close()

    def _advertise(self) -> None:
        kinds = {
            "stretch/joint_states": JointState,
            "joint_limits": JointState,
            "odom": Odometry,
            "battery": BatteryState,
            "is_homed": Bool,
            "is_runstopped": Bool,
            "mode": String,
            "tool": String,
            **({"is_streaming_position": Bool} if self.options.streaming else {}),
            **{f"{camera}/color/image_raw": Image for camera in CAMERAS},
        }
        self._out = {name: self.create_publisher(kind, name, qos.NEWEST) for name, kind in kinds.items()}
        shape = (self.options.camera_height, self.options.camera_width, 3)
        self._scene = np.random.default_rng(0).integers(0, 255, shape, dtype=np.uint8)
        self._frames = 0

    def _serve(self) -> None:
        self.create_subscription(Twist, "stretch/cmd_vel", self._take_twist, qos.NEWEST)
        answers: dict[str, Callable[[], str]] = {
            "switch_to_position_mode": lambda: self._switch("position"),
            "switch_to_navigation_mode": lambda: self._switch("navigation"),
            "switch_to_trajectory_mode": lambda: self._switch("trajectory"),
            "stop_the_robot": self._stop,
            "get_joint_states": self._tell_limits,
        }
        if self.options.streaming:
            self.create_subscription(Float64MultiArray, "joint_pose_cmd", self._take_pose, qos.NEWEST)
            answers["activate_streaming_position"] = lambda: self._stream(True)
            answers["deactivate_streaming_position"] = lambda: self._stream(False)
        for name, answer in answers.items():
            self.create_service(Trigger, name, _answering(answer))
        self.create_service(SetBool, "runstop", self._take_runstop)
        slow = sibling_node(self, "homing")  # the rest goes on while it homes
        slow.create_service(Trigger, "home_the_robot", _answering(self._home))
        self._serving = Spinner(slow)

    # Commands

    def _take_twist(self, message: Twist) -> None:
        if self._mode != "navigation":
            self.get_logger().error(f"must be in navigation mode to receive a twist on cmd_vel, is in {self._mode}")
            return
        twist = (message.linear.x, message.angular.z)
        self._later(lambda: self._set_twist(twist))

    def _set_twist(self, twist: tuple[float, float]) -> None:
        self._twist, self._twist_s = twist, time.monotonic()

    def _take_pose(self, message: Float64MultiArray) -> None:
        if not self._streaming or self._mode not in STREAMED:
            self.get_logger().error(f"streaming position is {self._streaming} and the mode is {self._mode}")
        elif len(message.data) != len(stretch_qpos.ORDER) + 2:
            self.get_logger().error("Received qpos does not match the number of joints in the robot")
        elif not self._homed:
            self.get_logger().warning("arm and lift are not homed: ignored")
        else:
            self._later(lambda: self._move_to(list(message.data)))

    def _move_to(self, qpos: list[float]) -> None:
        if self._mode not in STREAMED:
            return
        targets = dict(zip(stretch_qpos.ORDER, qpos))
        targets[GRIPPER] = stretch_qpos.aperture_of_finger(targets[GRIPPER])
        if self.options.lift_clips_m is not None:
            targets["joint_lift"] = min(targets["joint_lift"], self.options.lift_clips_m)
        for joint, target in targets.items():
            self._mechanics.move_to(joint, target)

    def _later(self, command: Callable[[], None]) -> None:
        self._due.append((time.monotonic() + self.options.latency_s, command))

    # Services

    def _switch(self, mode: str) -> str:
        self._mode, self._twist, self._twist_s = mode, (0.0, 0.0), -math.inf
        return f"Now in {mode} mode."

    def _stream(self, on: bool) -> str:
        self._streaming = on
        return f"{'Activated' if on else 'Deactivated'} streaming position."

    def _stop(self) -> str:
        self._mechanics.stop()
        return "Stopped the robot."

    def _home(self) -> str:
        before, self._mode = self._mode, "homing"
        time.sleep(self.options.home_s)
        self._mode, self._homed = before, True
        return "Homed."

    def _take_runstop(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        if request.data and not self._runstopped:
            self._mode, self._mode_before = "runstopped", self._mode
            self._due.clear()
            self._mechanics.stop()
        elif self._runstopped and not request.data:
            self._mode = self._mode_before
        self._runstopped = request.data
        response.success, response.message = True, f"is_runstopped: {request.data}"
        return response

    def _tell_limits(self) -> str:
        message = JointState(header=self._header())
        ranges = {name: (axis.low, axis.high) for name, axis in AXES.items()}
        closed, opened = map(stretch_qpos.finger_of_aperture, ranges[GRIPPER])
        fingers = (closed, opened)
        ranges |= {"joint_gripper_finger_left": fingers, "joint_gripper_finger_right": fingers}
        message.name = list(ranges)
        message.position = [low for low, _ in ranges.values()]
        message.velocity = [high for _, high in ranges.values()]
        self._out["joint_limits"].publish(message)
        return ""

    # Time

    def _tick(self) -> None:
        self.options = parameters.read(self, FakeStretchOptions)
        now = time.monotonic()
        while self._due and self._due[0][0] <= now:
            self._due.popleft()[1]()
        remembered = self._mode == "navigation" and now - self._twist_s < self.options.timeout
        self._mechanics.wanted = self._twist if remembered else (0.0, 0.0)
        self._arrange()
        while self._advanced_s < now:
            step_s = min(0.01, now - self._advanced_s)
            self._mechanics.advance(step_s)
            self._advanced_s += step_s
        if not self.options.silent:
            self._tell()

    def _arrange(self) -> None:
        """Obstacles, by the parameters."""
        o = self.options
        self._mechanics.object_m = o.object_m
        self._mechanics.wall_m = math.inf if o.wall_m is None else o.wall_m
        self._mechanics.stops = {} if o.lift_stops_m is None else {"joint_lift": o.lift_stops_m}

    def _tell(self) -> None:
        for name, message in self._messages().items():
            self._out[name].publish(message)

    def _messages(self) -> dict[str, Any]:
        battery = BatteryState(header=self._header(), voltage=self.options.voltage_v, percentage=math.nan)
        status = {
            "stretch/joint_states": self._joints(),
            "odom": self._odometry(),
            "battery": battery,
            "is_homed": Bool(data=self._homed),
            "is_runstopped": Bool(data=self._runstopped),
            "mode": String(data=self._mode),
            "tool": String(data=self.options.tool),
        }
        return {**status, **({"is_streaming_position": Bool(data=self._streaming)} if self.options.streaming else {})}

    def _joints(self) -> JointState:
        """Names and order as in the vendor's: the arm is published as a whole, and as its four links."""
        m = self._mechanics
        parts = [("wrist_extension", "joint_arm", 1.0), ("joint_lift", "joint_lift", 1.0)]
        parts += [(link, "joint_arm", 0.25) for link in stretch_qpos.ARM_LINKS]
        parts += [(name, name, 1.0) for name in ("joint_head_pan", "joint_head_tilt", "joint_wrist_yaw")]
        finger = 0.5 / stretch_qpos.FINGER_LENGTH_M  # radians of one finger per metre of aperture
        parts += [(f"joint_gripper_finger_{side}", GRIPPER, finger) for side in ("left", "right")]
        message = JointState(header=self._header(), name=[name for name, _, _ in parts])
        message.position = [fraction * m.positions[joint] for _, joint, fraction in parts]
        message.velocity = [fraction * m.speeds[joint] for _, joint, fraction in parts]
        message.effort = [m.effort_pct(joint) for _, joint, _ in parts]
        return message

    def _odometry(self) -> Odometry:
        x, y, yaw = self._mechanics.pose
        message = Odometry(header=self._header("odom"), child_frame_id="base_link")
        message.pose.pose.position.x, message.pose.pose.position.y = x, y
        message.pose.pose.orientation = Quaternion(z=math.sin(yaw / 2), w=math.cos(yaw / 2))
        message.twist.twist.linear.x, message.twist.twist.angular.z = self._mechanics.moving
        return message

    def _publish_images(self) -> None:
        """A scene that turns with the base, and the noise of a sensor in its first row."""
        if self.options.silent:
            return
        self._frames += not self.options.frozen_cameras
        turned = round(self._mechanics.pose[2] / math.tau * self._scene.shape[1])
        for number, camera in enumerate(CAMERAS):
            image = np.roll(self._scene, turned, axis=1)
            image[0] = np.random.default_rng((self._frames, number)).integers(0, 255, image[0].shape, dtype=np.uint8)
            message = Image(header=self._header(camera), encoding="rgb8", height=image.shape[0], width=image.shape[1])
            message.step, message.data = 3 * message.width, array.array("B", image.tobytes())
            self._out[f"{camera}/color/image_raw"].publish(message)

    def _header(self, frame_id: str = "") -> Header:
        return Header(stamp=self.get_clock().now().to_msg(), frame_id=frame_id)


def _answering(job: Callable[[], str]) -> Callable[[Any, Any], Any]:
    def answer(_: Any, response: Any) -> Any:
        response.success, response.message = True, job()
        return response

    return answer


def main(args: Sequence[str] | None = None) -> None:
    """Entry point of the executable `fake_stretch_driver`."""
    run(FakeStretchDriver, args)


if __name__ == "__main__":
    main()
