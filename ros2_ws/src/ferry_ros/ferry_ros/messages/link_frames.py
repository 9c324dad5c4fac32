"""Frames of a robot's links, from its URDF, as transforms."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from xml.etree import ElementTree

from geometry_msgs.msg import Quaternion, Transform, TransformStamped, Vector3
from std_msgs.msg import Header

from ferry_ros.messages.convert import time_msg

Numbers = tuple[float, float, float]
Turn = tuple[float, float, float, float]
TURNING, SLIDING = ("revolute", "continuous"), ("prismatic",)


@dataclass(frozen=True)
class Joint:
    """A joint of a URDF: its `kind`, its two links, the place [m] and turn (x, y, z, w) of the child, and its axis."""

    name: str
    kind: str
    parent: str
    child: str
    xyz: Numbers
    turn: Turn
    axis: Numbers


class LinkFrames:
    """Transforms between the links of `urdf`, as robot_state_publisher would publish them.

    Args:
        urdf: a robot's description; "" has no links.
        prefix: of every frame's name, such as "left/", where several robots share one tree.
    """

    def __init__(self, urdf: str, prefix: str = "") -> None:
        self._prefix = prefix
        self._joints = [_joint(one) for one in ElementTree.fromstring(urdf).findall("joint")] if urdf else []

    def fixed(self, stamp_ns: int) -> list[TransformStamped]:
        """Transforms of the joints that do not move."""
        return [self.transform(j.parent, j.child, stamp_ns, j.xyz, j.turn) for j in self._joints if j.kind == "fixed"]

    def moving(self, positions: Mapping[str, float], stamp_ns: int) -> list[TransformStamped]:
        """Transforms of the joints whose `positions` [m] or [rad] are known."""
        found = []
        for joint in self._joints:
            if joint.name in positions and joint.kind in (*TURNING, *SLIDING):
                xyz, turn = _moved(joint, positions[joint.name])
                found.append(self.transform(joint.parent, joint.child, stamp_ns, xyz, turn))
        return found

    def transform(self, parent: str, child: str, stamp_ns: int, xyz: Numbers, turn: Turn) -> TransformStamped:
        """The pose of `child` in `parent`: place [m], quaternion (x, y, z, w)."""
        header = Header(stamp=time_msg(stamp_ns), frame_id=self._prefix + parent)
        (x, y, z), (qx, qy, qz, qw) = xyz, turn
        pose = Transform(translation=Vector3(x=x, y=y, z=z), rotation=Quaternion(x=qx, y=qy, z=qz, w=qw))
        return TransformStamped(header=header, child_frame_id=self._prefix + child, transform=pose)


def _joint(element: ElementTree.Element) -> Joint:
    origin, axis = element.find("origin"), element.find("axis")
    xyz, rpy = (_numbers(origin, name, (0.0, 0.0, 0.0)) for name in ("xyz", "rpy"))
    parent, child = (element.find(name) for name in ("parent", "child"))
    assert parent is not None  # every joint of a URDF has both
    assert child is not None
    return Joint(
        element.attrib["name"],
        element.attrib["type"],
        parent.attrib["link"],
        child.attrib["link"],
        xyz,
        _of_rpy(rpy),
        _numbers(axis, "xyz", (1.0, 0.0, 0.0)),
    )


def _numbers(element: ElementTree.Element | None, name: str, default: Numbers) -> Numbers:
    if element is None or name not in element.attrib:
        return default
    x, y, z = (float(word) for word in element.attrib[name].split())
    return x, y, z


def _moved(joint: Joint, position: float) -> tuple[Numbers, Turn]:
    """Place and turn of the child at a position of the joint."""
    if joint.kind in TURNING:
        return joint.xyz, product(joint.turn, _about(joint.axis, position))
    x, y, z, _ = product(product(joint.turn, (*joint.axis, 0.0)), _inverse(joint.turn))
    return tuple(a + position * b for a, b in zip(joint.xyz, (x, y, z))), joint.turn  # type: ignore[return-value]


def product(a: Turn, b: Turn) -> Turn:
    """Quaternion of turning by `b`, then by `a`."""
    ax, ay, az, aw = a
    bx, by, bz, bw = b
    return (
        aw * bx + ax * bw + ay * bz - az * by,
        aw * by - ax * bz + ay * bw + az * bx,
        aw * bz + ax * by - ay * bx + az * bw,
        aw * bw - ax * bx - ay * by - az * bz,
    )


def yaw(angle_rad: float) -> Turn:
    """Quaternion of a turn about +z."""
    return _about((0.0, 0.0, 1.0), angle_rad)


def _about(axis: Numbers, angle_rad: float) -> Turn:
    scale = math.sin(angle_rad / 2) / (math.hypot(*axis) or 1.0)
    x, y, z = axis
    return x * scale, y * scale, z * scale, math.cos(angle_rad / 2)


def _of_rpy(rpy: Numbers) -> Turn:
    """Quaternion of Rz(yaw) Ry(pitch) Rx(roll)."""
    roll, pitch, heading = rpy
    tilted = product(_about((0.0, 1.0, 0.0), pitch), _about((1.0, 0.0, 0.0), roll))
    return product(yaw(heading), tilted)


def _inverse(turn: Turn) -> Turn:
    x, y, z, w = turn
    return -x, -y, -z, w
