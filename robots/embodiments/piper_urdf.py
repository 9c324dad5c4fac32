"""The AgileX Piper as a URDF, written from its published link lengths.

Source of the chain: modified Denavit-Hartenberg parameters of piper_sdk 0.6.2, kinematics/piper_fk.py with
`dh_is_offset=1` (arms with firmware from S-V1.6-3 on). Shapes are primitives around those axes, for images and
contact; nobody's meshes are in here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Link:
    """One row of the table: twist and length to the joint before, offset along the joint's own axis and its zero.

    Attributes:
        a_m: length of the common normal.
        alpha_rad: twist about it.
        theta_rad: added to the joint's angle.
        d_m: offset along the joint's axis.
    """

    a_m: float
    alpha_rad: float
    theta_rad: float
    d_m: float


CHAIN = (
    Link(0.0, 0.0, 0.0, 0.123),
    Link(0.0, -math.pi / 2, math.radians(-172.22), 0.0),
    Link(0.28503, 0.0, math.radians(-102.78), 0.0),
    Link(-0.02198, math.pi / 2, 0.0, 0.25075),
    Link(0.0, -math.pi / 2, 0.0, 0.0),
    Link(0.0, math.pi / 2, 0.0, 0.091),
)
"""piper_sdk 0.6.2 piper_fk.py, in metres."""

GRIPPER_M = 0.1358
"""From the flange to the point between the fingertips: z of `joint7` in AgileX' piper_description.urdf (piper_ros)."""

ARM = ("joint1", "joint2", "joint3", "joint4", "joint5", "joint6")
"""Names of the joints, as in AgileX's own piper_ros."""

TIP = "fingertips"


def urdf(ranges: dict[str, tuple[float, float]] | None = None) -> str:
    """The arm from `base_link` to `fingertips`, as a chain of frames; `ranges` are (low, high) [rad] by joint name."""
    parts = ['<robot name="piper">', '<link name="base_link"/>']
    parent = "base_link"
    for number, link in enumerate(CHAIN, start=1):
        low, high = (ranges or {}).get(f"joint{number}", (-math.pi, math.pi))
        parts.append(_joint(f"joint{number}", parent, f"link{number}", link, low, high))
        parent = f"link{number}"
    tip = f'<origin xyz="0 0 {GRIPPER_M}"/><parent link="{parent}"/><child link="{TIP}"/>'
    parts.append(f'<link name="{TIP}"/><joint name="tip" type="fixed">{tip}</joint></robot>')
    return "\n".join(parts)


def _joint(name: str, parent: str, child: str, link: Link, low: float, high: float) -> str:
    """A URDF origin is Rz(yaw) Ry(pitch) Rx(roll); here Rx(alpha) Rz(theta), whose angles are worked out below."""
    xyz = (link.a_m, -math.sin(link.alpha_rad) * link.d_m, math.cos(link.alpha_rad) * link.d_m)
    roll, pitch, yaw = angles(link)
    return (
        f'<link name="{child}"/><joint name="{name}" type="revolute">'
        f'<origin xyz="{xyz[0]:.9g} {xyz[1]:.9g} {xyz[2]:.9g}" rpy="{roll:.12g} {pitch:.12g} {yaw:.12g}"/>'
        f'<parent link="{parent}"/><child link="{child}"/><axis xyz="0 0 1"/>'
        f'<limit lower="{low}" upper="{high}" effort="100" velocity="3.14"/></joint>'
    )


def angles(link: Link) -> tuple[float, float, float]:
    """Roll, pitch, yaw [rad] of Rx(alpha) Rz(theta)."""
    (ca, sa), (ct, st) = ((math.cos(angle), math.sin(angle)) for angle in (link.alpha_rad, link.theta_rad))
    # Rx(alpha) Rz(theta) = [[ct, -st, 0], [ca st, ca ct, -sa], [sa st, sa ct, ca]]
    pitch = math.asin(max(-1.0, min(1.0, -sa * st)))
    return math.atan2(sa * ct, ca), pitch, math.atan2(ca * st, ct)
