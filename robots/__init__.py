"""Robot interface: specs, embodiment tables, the policy-body binding, limits and the Robot protocol. Numpy only."""

from robots.binding import Binding, bind
from robots.command import (
    Command,
    Done,
    Grasp,
    JointTarget,
    LookAt,
    MoveBase,
    MoveJoint,
    Release,
    RotateBase,
    SetGripper,
    Stop,
)
from robots.embodiment import BaseLimits, Embodiment, JointLimits
from robots.errors import BindError, ConnectionFailed, NotConnected, RobotError, SpecError
from robots.observation import Observation
from robots.robot import Connected, Robot, Sent
from robots.spec import CameraInput, CameraSpec, ContinuousActions, DiscreteActions, PolicySpec, VectorSpec
from robots.view import View

__all__ = [
    "BaseLimits",
    "BindError",
    "Binding",
    "CameraInput",
    "CameraSpec",
    "Command",
    "Connected",
    "ConnectionFailed",
    "ContinuousActions",
    "DiscreteActions",
    "Done",
    "Embodiment",
    "Grasp",
    "JointLimits",
    "JointTarget",
    "LookAt",
    "MoveBase",
    "MoveJoint",
    "NotConnected",
    "Observation",
    "PolicySpec",
    "Release",
    "Robot",
    "RobotError",
    "RotateBase",
    "Sent",
    "SetGripper",
    "SpecError",
    "Stop",
    "VectorSpec",
    "View",
    "bind",
]
