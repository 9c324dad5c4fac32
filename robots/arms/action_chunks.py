"""The vectors that arms take in chunks of continuous actions."""

from __future__ import annotations

from robots.embodiment import JointLimits
from robots.spec import VectorSpec

GRIPPER = "gripper"
"""Last number of a row of `cartesian_delta` and `aim`: 0 closed, 1 open."""

POSE = ("delta_x", "delta_y", "delta_z", "delta_rx", "delta_ry", "delta_rz")
"""Increments of the gripper's pose in the base frame (REP-103): a translation [m], then a rotation vector [rad]."""

AIM = ("aim_x", "aim_y", "aim_z", "aim_rx", "aim_ry", "aim_rz")
"""From the measured pose of the gripper to the pose it is pulled towards, in the base frame, as `POSE`."""


def cartesian_delta(max_step_m: float, max_step_rad: float) -> VectorSpec:
    """The 7-D action of OpenVLA in SI units: how the gripper's pose changes in one row, and the gripper.

    Each row counts from the pose that the row before it asked for. Bounds are those of one row.
    """
    return _pose_and_gripper(POSE, max_step_m, max_step_rad)


def aim(max_aim_m: float, max_aim_rad: float) -> VectorSpec:
    """The 7-D action of LIBERO and of any operational-space controller that pulls like a spring, in SI units.

    Each row counts from where the gripper is when the row begins, and the gripper gets only a part of the way in it: 1
    in LIBERO asks for 0.05 m in 0.05 s. So these are no increments, and do not bind to an arm that takes increments.
    """
    return _pose_and_gripper(AIM, max_aim_m, max_aim_rad)


def joint_positions(joints: dict[str, JointLimits], units: tuple[str, ...]) -> VectorSpec:
    """Absolute positions of all `joints`, in their order and within their ranges."""
    low = tuple(joint.low for joint in joints.values())
    high = tuple(joint.high for joint in joints.values())
    return VectorSpec(tuple(joints), units, low, high)


def _pose_and_gripper(names: tuple[str, ...], most_m: float, most_rad: float) -> VectorSpec:
    size = (most_m,) * 3 + (most_rad,) * 3
    units = ("m",) * 3 + ("rad",) * 3 + ("share",)
    return VectorSpec((*names, GRIPPER), units, (*(-limit for limit in size), 0.0), (*size, 1.0))
