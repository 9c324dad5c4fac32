"""The bodies that faults are planted on: how each one's processes start, and how it is hurt while it runs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from ferry_ros.rclpy_support import services
from geometry_msgs.msg import PointStamped
from rclpy.node import Node
from std_srvs.srv import SetBool

from benchmarks.faults.process import spawn
from benchmarks.faults.truth import CanTruth, JointTruth, OdomTruth, Polled, Truth, stretch_truth
from robots.arms.action_chunks import cartesian_delta
from robots.embodiments import ros2_control_arms
from robots.fakes.stretch.calibration_files import ROBOT_ID
from robots.spec import CameraInput, VectorSpec

STRETCH_CAMERAS = tuple(CameraInput(name, 84, 144, 59.0) for name in ("navigation", "manipulation"))


@dataclass
class Here:
    """What a robot's functions may use: the folder of this run, a node, and the running fake."""

    folder: Path
    node: Node
    fake: subprocess.Popen[bytes] | None = None


Hurt = Callable[[Here, bool], None]
"""Plants a fault of the robot's own (True), or takes it back (False)."""


@dataclass(frozen=True)
class FaultBody:
    """One robot.

    Attributes:
        robot: parameters of robot_node.
        truth: where it truly is.
        fake: command of the fake's process; empty for a twin.
        ready: what the fake prints when it is there.
        chunk: a row of its policy; None for a robot with the Stretch's actions.
        supervisor: parameters of supervisor_node.
        runstop: presses the robot's own stop; None: that of robot_node.
        freeze: freezes its cameras.
        bus_off: takes its bus away.
        again: whether a fault of its own can only be taken back by starting fake and robot node again.
        joints: topic (JointState) on which its vendor's software tells its joints.
        odometry: topic (Odometry) on which its vendor's software tells its pose.
    """

    robot: Callable[[Here], Mapping[str, object]]
    truth: Callable[[Here], Truth]
    fake: Callable[[Here], list[str]] | None = None
    ready: str = "ready"
    chunk: VectorSpec | None = None
    supervisor: Mapping[str, object] = field(default_factory=dict)
    runstop: Hurt | None = None
    freeze: Hurt | None = None
    bus_off: Hurt | None = None
    again: bool = False
    joints: str = ""
    odometry: str = ""


def module(name: str, *words: str) -> list[str]:
    """A command that runs a Python module."""
    return [sys.executable, "-m", name, *words]


def ros_fake(name: str, namespace: str, **parameters: object) -> list[str]:
    """A command that runs a fake node."""
    words = [part for key, value in parameters.items() for part in ("-p", f"{key}:={value}")]
    return module(f"ferry_ros.fakes.{name}", "--ros-args", "-r", f"__ns:={namespace}", *words)


def parameter(node_name: str, name: str) -> Hurt:
    """Sets a parameter of a fake node."""

    def hurt(here: Here, on: bool) -> None:
        services.set_parameters(here.node, node_name, {name: on}, 5.0)

    return hurt


def _fleet(here: Here) -> Path:
    return here.folder / "fleet"


def _tell_stretch(on: str, off: str) -> Hurt:
    from robots.processes.control_socket import tell

    return lambda here, hurt: (tell(_fleet(here), on if hurt else off), None)[1]


def _tell_piper(word: str) -> Hurt:
    """One line to the fake; it is taken back by starting it again."""

    def hurt(here: Here, on: bool) -> None:
        if on and here.fake is not None and here.fake.stdin is not None:
            here.fake.stdin.write(f"{word}\n".encode())
            here.fake.stdin.flush()

    return hurt


STOWED = ("--lift-m", "0.2", "--arm-m", "0.0", "--wrist-yaw-rad", "3.0")
"""So the base may drive at its top speed: the worst case for a stop."""


def stretch_re1() -> FaultBody:
    """stretch_body over the fake's serial lines."""
    return FaultBody(
        robot=lambda here: {
            "robot": "stretch_re1",
            "stretch.fleet": str(_fleet(here) / ROBOT_ID),
            "stretch.navigation_camera": f"synthetic:{_fleet(here)}",
            "stretch.manipulation_camera": f"synthetic:{_fleet(here)}",
            "stretch.height": 180,
            "stretch.width": 320,
        },
        truth=lambda here: stretch_truth(_fleet(here)),
        fake=lambda here: module("robots.fakes.stretch.process", "--fleet", str(_fleet(here)), *STOWED),
        runstop=_tell_stretch("runstop on", "runstop off"),
        freeze=_tell_stretch("freeze_camera on", "freeze_camera off"),
    )


def stretch_re1_ros2() -> FaultBody:
    """The vendor's ROS 2 driver, faked."""
    size = {"camera_height": 180, "camera_width": 320}
    return FaultBody(
        robot=lambda here: {
            "robot": "stretch_re1_ros2",
            **{f"stretch_ros2.{name}": value for name, value in size.items()},
        },
        truth=lambda here: OdomTruth(here.node, "/odom"),
        fake=lambda here: ros_fake("stretch_driver", "/", **size),
        supervisor={"halt_cmd_vel": "/stretch/cmd_vel"},
        runstop=vendor_runstop,
        freeze=parameter("/stretch_driver", "frozen_cameras"),
        joints="/stretch/joint_states",
        odometry="/odom",
    )


def vendor_runstop(here: Here, on: bool) -> None:
    """The runstop of the vendor's driver."""
    services.ask(here.node, SetBool, "/runstop", SetBool.Request(data=on), 5.0)


def twin(name: str, prefix: str, **options: object) -> FaultBody:
    """A simulated body with a base."""
    return FaultBody(
        robot=lambda here: {
            "robot": name,
            f"{prefix}.real_time": "true",
            **{f"{prefix}.{key}": value for key, value in options.items()},
        },
        truth=lambda here: OdomTruth(here.node, f"{here.node.get_namespace()}/odom"),
    )


class TipTruth(Truth):
    """Fingertips [m] that a twin's robot node tells."""

    def __init__(self, node: Node) -> None:
        super().__init__()
        node.create_subscription(PointStamped, "tip", self._take, 1)

    def _take(self, message: PointStamped) -> None:
        self.add((message.point.x, message.point.y, message.point.z))


def piper_twin() -> FaultBody:
    """The simulated Piper."""
    return FaultBody(
        robot=lambda here: {"robot": "piper_twin", "piper_twin.real_time": "true"},
        truth=lambda here: TipTruth(here.node),
        chunk=cartesian_delta(0.05, 0.5),
    )


def piper() -> FaultBody:
    """piper_sdk over the fake's CAN bus."""
    from robots.arms.kinematics import Kinematics
    from robots.drivers.piper.can_bus import open_bus
    from robots.embodiments.piper import PIPER_URDF
    from robots.embodiments.piper_urdf import ARM, TIP

    channel = f"239.74.163.2:{43000 + os.getpid() % 2000}"
    return FaultBody(
        robot=lambda here: {"robot": "piper", "piper.channel": channel, "piper.interface": "udp_multicast"},
        truth=lambda here: CanTruth(open_bus(channel, "udp_multicast"), Kinematics(PIPER_URDF, ARM, TIP)),
        fake=lambda here: module("robots.fakes.piper.process", "--channel", channel),
        chunk=cartesian_delta(0.05, 0.5),
        runstop=_tell_piper("estop"),
        bus_off=_tell_piper("bus-off"),
        again=True,
    )


def locobot_pyrobot() -> FaultBody:
    """PyRobot's server process over a fake of PyRobot; the fake writes down where it truly is."""
    port = 20000 + os.getpid() % 20000

    def where(here: Here) -> tuple[float, ...]:
        lines = (here.folder / "trace").read_text().splitlines()
        if len(lines) < 2:
            raise ConnectionError("no trace yet")
        return tuple(json.loads(lines[-2])["pose"][:2])  # the last line may be half written

    return FaultBody(
        robot=lambda here: {
            "robot": "locobot_pyrobot",
            "pyrobot.address": f"127.0.0.1:{port}",
            "pyrobot.height": 180,
            "pyrobot.width": 320,
        },
        truth=lambda here: Polled(lambda: where(here)),
        fake=lambda here: module(
            "robots.fakes.pyrobot.process", "--port", str(port), "--trace", str(here.folder / "trace")
        ),
    )


def locobot_interbotix() -> FaultBody:
    """The Interbotix ROS 2 topics of a LoCoBot, faked."""
    size = {"height": 180, "width": 320}  # the vendor's 640x480 is more than Fast DDS keeps in shared memory
    return FaultBody(
        robot=lambda here: {
            "robot": "locobot_interbotix",
            **{f"interbotix.{one}{name}": value for name, value in size.items() for one in ("", "camera_")},
        },
        truth=lambda here: OdomTruth(here.node, "/locobot/odom"),
        fake=lambda here: ros_fake("xs_sdk", "/locobot", rate_hz=50.0, **size),
        supervisor={"halt_cmd_vel": "/locobot/mobile_base/commands/velocity"},
        freeze=parameter("/locobot/xs_sdk", "freeze_camera"),
        joints="/locobot/dynamixel/joint_states",
        odometry="/locobot/odom",
    )


def ros2_control_arm() -> FaultBody:
    """A UR5e behind joint_trajectory_controller, faked."""
    preset = ros2_control_arms.arm("ur5e")
    camera = {"camera_height": 180, "camera_width": 320}
    return FaultBody(
        robot=lambda here: {
            "robot": "ros2_control_arm",
            **{f"arm.{name}": value for name, value in camera.items()},
        },
        truth=lambda here: JointTruth(here.node, "/joint_states", list(preset.joints)),
        fake=lambda here: ros_fake("arm_controller", "/", height=180, width=320, camera_rate_hz=15.0),
        chunk=cartesian_delta(0.05, 0.35),
        freeze=parameter("/fake_arm_controller", "freeze_camera"),
        joints="/joint_states",
    )


BODIES: dict[str, Callable[[], FaultBody]] = {
    "stretch_re1": stretch_re1,
    "stretch_re1_ros2": stretch_re1_ros2,
    "stretch_re1_twin": lambda: twin("stretch_re1_twin", "twin"),
    "locobot_pyrobot": locobot_pyrobot,
    "locobot_interbotix": locobot_interbotix,
    "locobot_twin": lambda: twin("locobot_twin", "twin"),
    "piper": piper,
    "piper_twin": piper_twin,
    "ros2_control_arm": ros2_control_arm,
}


def oscillation(vector: VectorSpec) -> np.ndarray[Any, np.dtype[np.float32]]:
    """A policy's script, (2, 8, 7): ahead by 8 cm at 0.1 m/s, and back."""
    script = np.zeros((2, 8, len(vector)), np.float32)
    script[0, :, 0], script[1, :, 0] = 0.01, -0.01
    script[:, :, vector.names.index("gripper")] = 0.5
    return script


def started(command: list[str], log: Path, ready: str, stdin: bool = False) -> subprocess.Popen[bytes]:
    """Runs a process until it says `ready` in its log; TimeoutError with the log when it does not."""
    source = subprocess.PIPE if stdin else subprocess.DEVNULL
    with log.open("wb") as file:
        process = spawn(command, stdout=file, stderr=subprocess.STDOUT, stdin=source)
    deadline = time.monotonic() + 30.0
    while ready not in log.read_text(errors="replace"):
        if time.monotonic() > deadline or process.poll() is not None:
            process.kill()
            raise TimeoutError(
                f"{' '.join(command[:4])} did not say '{ready}': {log.read_text(errors='replace')[-600:]}"
            )
        time.sleep(0.02)
    return process
