"""Robots of a robot node, one line each; a driver is imported when its robot is chosen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from robots.errors import SpecError
from robots.robot import Robot


@dataclass(frozen=True)
class Body:
    """A robot's class, the dataclass of its options, and the prefix of their parameters."""

    create: Callable[[Any], Robot]
    options: type[Any]
    prefix: str


def fake() -> Body:
    """The kinematic body without hardware."""
    from robots.fakes.kinematic import FakeOptions, FakeRobot

    return Body(FakeRobot, FakeOptions, "fake.")


def piper() -> Body:
    """The AgileX Piper over CAN."""
    from robots.drivers.piper.driver import PiperOptions, PiperRobot

    return Body(PiperRobot, PiperOptions, "piper.")


def piper_twin() -> Body:
    """The AgileX Piper on a simulated table."""
    from simulation.tabletop.piper_twin import PiperTwin, PiperTwinOptions

    return Body(PiperTwin, PiperTwinOptions, "piper_twin.")


def panda_twin() -> Body:
    """The Franka Panda in a task of LIBERO."""
    from simulation.libero.panda_twin import PandaTwin, PandaTwinOptions

    return Body(PandaTwin, PandaTwinOptions, "panda_twin.")


def locobot_interbotix() -> Body:
    """The LoCoBot behind the Interbotix ROS 2 packages."""
    from ferry_ros.drivers.interbotix.driver import LocobotInterbotix, LocobotInterbotixOptions

    return Body(LocobotInterbotix, LocobotInterbotixOptions, "interbotix.")


def ros2_control_arm() -> Body:
    """An arm behind ros2_control: UR5e, FR3 or xArm6."""
    from ferry_ros.drivers.ros2_control.driver import Ros2ControlArm, Ros2ControlArmOptions

    return Body(Ros2ControlArm, Ros2ControlArmOptions, "arm.")


def stretch_re1() -> Body:
    """The Stretch RE1 through its vendor's SDK, in its own computer."""
    from robots.drivers.stretch.driver import StretchOptions, StretchRE1

    return Body(StretchRE1, StretchOptions, "stretch.")


def stretch_re1_ros2() -> Body:
    """The Stretch RE1 behind its vendor's ROS 2 driver."""
    from ferry_ros.drivers.stretch.driver import StretchRos2, StretchRos2Options

    return Body(StretchRos2, StretchRos2Options, "stretch_ros2.")


def stretch_re1_twin() -> Body:
    """The Stretch RE1 in a simulated house."""
    from simulation.twins.house_twin import StretchTwin, TwinOptions

    return Body(StretchTwin, TwinOptions, "twin.")


def locobot_twin() -> Body:
    """The LoCoBot in a simulated house."""
    from simulation.twins.locobot import LocobotOptions, LocobotTwin

    return Body(LocobotTwin, LocobotOptions, "twin.")


def locobot_pyrobot() -> Body:
    """The LoCoBot behind a PyRobot server on the robot."""
    from robots.drivers.pyrobot.driver import PyrobotLocobot, PyrobotOptions

    return Body(PyrobotLocobot, PyrobotOptions, "pyrobot.")


ROBOTS: dict[str, Callable[[], Body]] = {
    "fake": fake,
    "locobot_pyrobot": locobot_pyrobot,
    "locobot_twin": locobot_twin,
    "locobot_interbotix": locobot_interbotix,
    "ros2_control_arm": ros2_control_arm,
    "panda_twin": panda_twin,
    "piper": piper,
    "piper_twin": piper_twin,
    "stretch_re1": stretch_re1,
    "stretch_re1_ros2": stretch_re1_ros2,
    "stretch_re1_twin": stretch_re1_twin,
}


def body(name: str) -> Body:
    """The robot called `name`; SpecError lists the known ones."""
    if name not in ROBOTS:
        raise SpecError("robot", repr(name), f"one of {', '.join(sorted(ROBOTS))}")
    return ROBOTS[name]()
