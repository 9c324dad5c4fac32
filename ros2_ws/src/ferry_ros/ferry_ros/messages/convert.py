"""Converts between messages and Ferry's values: pure functions, lossless, standard interfaces only.

A command is a `trajectory_msgs/JointTrajectory`:

- `header.stamp` is the stamp of the observation it was decided from, echoed: the robot's own clock, never ours.
- `header.frame_id` holds words: "current" for increments from the current position, "chunk" for a Chunk, "joining" for
  one that others may be joined on to, none for absolute values; then "lease=" and the lease that the robot node
  granted for this trial. A Stop needs none.
- A Chunk: `points[0]` has no positions, the points after it are its rows, `time_from_start` of
  each counted from when the first motion starts, or from the observation for a chunk that is joined on.
- `points[0].positions` holds one number per joint name; `points[0].time_from_start` is the maximum age of the
observation
  at which the motion may start.
- Joint names are the robot's, and these virtual ones: translate_mobile_base [m], rotate_mobile_base [rad],
  gripper_aperture [m], gripper_grasp (1 grasp, 0 release), done (1 the episode, 0 a part of it) and duration [s], which
  ends every JointTarget. No joint at all is Stop.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from builtin_interfaces.msg import Duration, Time
from geometry_msgs.msg import Quaternion
from nav_msgs.msg import Odometry
from sensor_msgs.msg import JointState
from std_msgs.msg import Header
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from robots.command import (
    Chunk,
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
from robots.embodiment import Embodiment
from robots.errors import SpecError
from robots.execution.command_request import CommandRequest
from robots.limits import HEAD_JOINTS
from robots.spec import F32Vector

CURRENT = "current"
"""Word in `frame_id` of a command whose numbers are increments from the current position."""

CHUNK = "chunk"
"""Word in `frame_id` of a command whose points are the rows of a Chunk."""

JOINING = "joining"
"""The same for a Chunk that others may be joined on to while it runs."""

LEASE = "lease="
"""Prefix of the word with the lease."""

VIRTUAL = ("translate_mobile_base", "rotate_mobile_base", "gripper_aperture", "gripper_grasp", "done", "duration")
"""Joint names with a meaning of their own."""

NS = 1_000_000_000
Planar = tuple[float, float, float]

UNKNOWN = 1e6
"""Variance of what a planar base says nothing about: z, roll, pitch."""
POSE_VARIANCE = np.array([0.05**2, 0.05**2, UNKNOWN, UNKNOWN, UNKNOWN, 0.1**2])
TWIST_VARIANCE = np.array([0.05**2, 0.05**2, UNKNOWN, UNKNOWN, UNKNOWN, 0.1**2])
"""Of x, y [m2], z, roll, pitch, yaw [rad2] and their speeds: estimates, as no vendor states any."""


def time_msg(stamp_ns: int) -> Time:
    """A stamp in nanoseconds as a Time message."""
    return Time(sec=stamp_ns // NS, nanosec=stamp_ns % NS)


def stamp_of(header: Header) -> int:
    """A header's stamp in nanoseconds."""
    return int(header.stamp.sec) * NS + int(header.stamp.nanosec)


def state_msg(state: Mapping[str, F32Vector], body: Embodiment, stamp_ns: int) -> JointState:
    """Every number of the robot's state by its name, in one message with one stamp; flags are 0 or 1."""
    message = JointState(header=Header(stamp=time_msg(stamp_ns)))
    message.name = [name for spec in body.state.values() for name in spec.names]
    message.position = [value for group in body.state for value in state[group].astype(np.float64).tolist()]
    return message


def state_of(message: JointState, body: Embodiment) -> dict[str, F32Vector]:
    """The robot's state groups, each (n,) float32, by name; SpecError when a number is missing."""
    values = dict(zip(message.name, message.position))
    missing = [name for spec in body.state.values() for name in spec.names if name not in values]
    if missing:
        raise SpecError("joint state", f"no '{missing[0]}'", f"the names of {body.name}")
    return {
        group: np.array([values[name] for name in spec.names], dtype=np.float32) for group, spec in body.state.items()
    }


def odometry_msg(pose: Planar, stamp_ns: int, twist: Planar = (0.0, 0.0, 0.0), prefix: str = "") -> Odometry:
    """Pose of `base_link` in `odom` (REP-105): x, y [m], yaw [rad]; `twist` in the base's frame, per second."""
    header = Header(stamp=time_msg(stamp_ns), frame_id=f"{prefix}odom")
    message = Odometry(header=header, child_frame_id=f"{prefix}base_link")
    x, y, yaw = (float(value) for value in pose)
    message.pose.pose.position.x, message.pose.pose.position.y = x, y
    message.pose.pose.orientation = Quaternion(z=math.sin(yaw / 2), w=math.cos(yaw / 2))
    speed = message.twist.twist
    speed.linear.x, speed.linear.y, speed.angular.z = (float(value) for value in twist)
    message.pose.covariance[::7], message.twist.covariance[::7] = POSE_VARIANCE, TWIST_VARIANCE
    return message


def pose_of(message: Odometry) -> tuple[float, float, float]:
    """(x_m, y_m, yaw_rad) of an odometry message."""
    position, turn = message.pose.pose.position, message.pose.pose.orientation
    return position.x, position.y, 2 * math.atan2(turn.z, turn.w)


def request_msg(order: CommandRequest) -> JointTrajectory:
    """An order as a command message; SpecError for a joint whose name has another meaning."""
    if isinstance(order.command, Chunk):
        return _chunk_msg(order, order.command)
    kind, values = _encode(order.command)
    message = JointTrajectory(header=_header(order, kind))
    message.joint_names = [name for name, _ in values]
    start = _duration_msg(order.valid_for_s)
    message.points = [JointTrajectoryPoint(positions=[value for _, value in values], time_from_start=start)]
    return message


def _header(order: CommandRequest, kind: str) -> Header:
    words = (kind, f"{LEASE}{order.lease}" if order.lease else "")
    return Header(stamp=time_msg(order.stamp_ns), frame_id=" ".join(filter(None, words)))


def _words(header: Header) -> tuple[str, str]:
    """(kind, lease) of a command; each may be empty. SpecError for any other word."""
    kinds: list[str] = []
    leases: list[str] = []
    for word in header.frame_id.split():
        (leases if word.startswith(LEASE) else kinds).append(word)
    if len(kinds) > 1 or len(leases) > 1 or not {*kinds} <= {CURRENT, CHUNK, JOINING}:
        kinds_known = f"'', '{CURRENT}', '{CHUNK}' or '{JOINING}'"
        raise SpecError("command frame_id", repr(header.frame_id), f"{kinds_known}, and '{LEASE}...'")
    return "".join(kinds), "".join(leases)[len(LEASE) :]


def _chunk_msg(order: CommandRequest, chunk: Chunk) -> JointTrajectory:
    message = JointTrajectory(header=_header(order, JOINING if chunk.joins else CHUNK))
    message.joint_names = list(chunk.names)
    message.points = [JointTrajectoryPoint(time_from_start=_duration_msg(order.valid_for_s))]
    for number, row in enumerate(chunk.rows, start=1):
        due = _duration_msg(number * chunk.period_s)
        message.points.append(JointTrajectoryPoint(positions=list(row), time_from_start=due))
    return message


def _duration_msg(seconds: float) -> Duration:
    nanoseconds = round(seconds * NS)
    return Duration(sec=nanoseconds // NS, nanosec=nanoseconds % NS)


def _seconds(duration: Duration) -> float:
    return (int(duration.sec) * NS + int(duration.nanosec)) / NS  # rounded once: equal to what was sent


def request_of(message: JointTrajectory) -> CommandRequest:
    """Inverse of `request_msg`; SpecError when the message is no command."""
    kind, lease = _words(message.header)
    if kind in (CHUNK, JOINING):
        return _chunk_order(message, lease, joins=kind == JOINING)
    if len(message.points) != 1:
        raise SpecError("command points", len(message.points), "exactly one")
    point = message.points[0]
    if len(point.positions) != len(message.joint_names):
        raise SpecError("command positions", len(point.positions), f"{len(message.joint_names)}, one per joint name")
    command = _decode(kind, tuple(message.joint_names), tuple(point.positions))
    return CommandRequest(stamp_of(message.header), command, _seconds(point.time_from_start), lease)


def _chunk_order(message: JointTrajectory, lease: str, joins: bool) -> CommandRequest:
    if len(message.points) < 2 or message.points[0].positions:
        raise SpecError("chunk points", len(message.points), "one without positions, then at least one row")
    start, *rows = message.points
    lengths = {len(row.positions) for row in rows}
    if lengths != {len(message.joint_names)}:
        raise SpecError("chunk positions", sorted(lengths), f"{len(message.joint_names)} in every row")
    period_s, *later = times = [_seconds(row.time_from_start) for row in rows]
    if any(abs(due_s - number * period_s) > 1e-6 for number, due_s in enumerate(later, start=2)):
        raise SpecError("chunk times", times, f"rows that are even, one every {period_s} s")
    chunk = Chunk(tuple(message.joint_names), tuple(tuple(row.positions) for row in rows), period_s, joins)
    return CommandRequest(stamp_of(message.header), chunk, _seconds(start.time_from_start), lease)


def _encode(command: Command) -> tuple[str, list[tuple[str, float]]]:
    """(frame_id, [(joint name, value)])."""
    if isinstance(command, MoveBase):
        return CURRENT, [("translate_mobile_base", command.distance_m)]
    if isinstance(command, RotateBase):
        return CURRENT, [("rotate_mobile_base", command.angle_rad)]
    if isinstance(command, MoveJoint):
        return CURRENT, [(_real(command.joint), command.delta)]
    if isinstance(command, SetGripper):
        return "", [("gripper_aperture", command.aperture_m)]
    if isinstance(command, LookAt):
        return "", list(zip(HEAD_JOINTS, (command.pan_rad, command.tilt_rad)))
    if isinstance(command, JointTarget):
        if len(command.joints) != len(command.positions):
            raise SpecError("JointTarget positions", len(command.positions), f"{len(command.joints)}, one per joint")
        joints = list(zip(map(_real, command.joints), command.positions))
        return "", [*joints, ("duration", command.duration_s)]
    if isinstance(command, (Grasp, Release)):
        return "", [("gripper_grasp", float(isinstance(command, Grasp)))]
    if isinstance(command, Done):
        return "", [("done", float(not command.subgoal))]
    return "", []


def _real(joint: str) -> str:
    """`joint`, unless its name has another meaning in a command; a gripper's aperture is a joint like any other."""
    if joint in VIRTUAL and joint != "gripper_aperture":
        raise SpecError("joint", repr(joint), f"a name other than {', '.join(VIRTUAL)}")
    return joint


def _decode(kind: str, names: tuple[str, ...], values: tuple[float, ...]) -> Command:
    if not names:
        return Stop()
    if kind == CURRENT:
        return _decode_increment(names, values)
    if names[-1] == "duration":
        return JointTarget(names[:-1], values[:-1], values[-1])
    if names == HEAD_JOINTS:
        return LookAt(*values)
    if names == ("gripper_aperture",):
        return SetGripper(values[0])
    if names == ("gripper_grasp",):
        return Grasp() if _flag(names[0], values[0]) else Release()
    if names == ("done",):
        return Done(subgoal=not _flag(names[0], values[0]))
    expected = "duration last, the two head joints, gripper_aperture, gripper_grasp or done"
    raise SpecError("absolute command joints", ", ".join(names), expected)


def _decode_increment(names: tuple[str, ...], values: tuple[float, ...]) -> Command:
    if len(names) != 1:
        raise SpecError("increments", ", ".join(names), "exactly one joint")
    if names[0] == "translate_mobile_base":
        return MoveBase(values[0])
    if names[0] == "rotate_mobile_base":
        return RotateBase(values[0])
    return MoveJoint(_real(names[0]), values[0])


def _flag(name: str, value: float) -> bool:
    if value not in (0.0, 1.0):
        raise SpecError(name, value, "0 or 1")
    return value == 1.0
