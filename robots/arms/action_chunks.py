"""The vectors that arms take in chunks of continuous actions."""

from __future__ import annotations

from robots.embodiment import JointLimits
from robots.spec import VectorSpec

GRIPPER = "gripper"
"""Last number of a row of `cartesian_delta`: 0 closed, 1 open."""

POSE = ("delta_x", "delta_y", "delta_z", "delta_rx", "delta_ry", "delta_rz")
"""Increments of the gripper's pose in the base frame (REP-103): a translation [m], then a rotation vector [rad]."""


def cartesian_delta(max_step_m: float, max_step_rad: float) -> VectorSpec:
    """The 7-D action of LIBERO and OpenVLA in SI units: how the gripper's pose changes in one row, and the gripper.

    Each row counts from the pose that the row before it asked for. Bounds are those of one row.
    """
    size = (max_step_m,) * 3 + (max_step_rad,) * 3
    units = ("m",) * 3 + ("rad",) * 3 + ("share",)
    return VectorSpec((*POSE, GRIPPER), units, (*(-limit for limit in size), 0.0), (*size, 1.0))


def joint_positions(joints: dict[str, JointLimits], units: tuple[str, ...]) -> VectorSpec:
    """Absolute positions of all `joints`, in their order and within their ranges."""
    low = tuple(joint.low for joint in joints.values())
    high = tuple(joint.high for joint in joints.values())
    return VectorSpec(tuple(joints), units, low, high)
