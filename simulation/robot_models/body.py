"""Interface of robot models in a `simulation.twins.world.World`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from simulation.rendering import gl  # noqa: F401  (first: it chooses MuJoCo's back-end)

import mujoco  # isort: skip

BasePose = tuple[float, float, float]
"""x [m], y [m], yaw [rad], counter-clockwise."""

BASE_JOINTS = ("base_x", "base_y", "base_yaw")
"""Joints of every robot's planar base."""

VISUAL_GROUP, COLLISION_GROUP = 2, 3
"""MuJoCo draws geom groups 0 to 2 by default, so collision shapes stay invisible."""

ROBOT_CONTYPE, HOUSE_CONTYPE = 2, 1
"""Robot geoms respond to the house's contype, and no geom to theirs, so they never collide with each other."""


@dataclass(frozen=True)
class Eye:
    """A navigation camera for planning: ahead of the axle and above the floor [m], and its field of view [deg]."""

    forward_m: float
    height_m: float
    pitch_deg: float
    fov_deg: float


class Body(Protocol):
    """A robot's MuJoCo model, with the calibration drawn for one episode."""

    @property
    def geom_prefix(self) -> str:
        """Prefix of the names of its geoms."""

    @property
    def rest(self) -> Mapping[str, float]:
        """Positions of the embodiment's joints at the start of an episode [m] or [rad]."""

    @property
    def lens(self) -> tuple[float, float] | None:
        """Tangents of its lenses' half field of view, horizontal and vertical; None: all of the image."""

    def add_to(self, scene: mujoco.MjSpec) -> None:
        """Adds it to a scene, at the origin, facing +x, on `BASE_JOINTS`."""

    def positions(self, joints: Mapping[str, float]) -> dict[str, float]:
        """Positions of the model's joints but the base's, for those of the embodiment."""


def add_base_joints(base: mujoco.MjsBody) -> None:
    """Adds the joints of a planar base: two slides and a hinge."""
    slide, hinge = mujoco.mjtJoint.mjJNT_SLIDE, mujoco.mjtJoint.mjJNT_HINGE
    axes = (slide, (1, 0, 0)), (slide, (0, 1, 0)), (hinge, (0, 0, 1))
    for name, (kind, axis) in zip(BASE_JOINTS, axes, strict=True):
        base.add_joint(name=name, type=kind, axis=axis, damping=50)


def touched(model: mujoco.MjModel, data: mujoco.MjData, prefix: str) -> str | None:
    """Returns the name of a house geom that the robot, whose geoms begin with `prefix`, touches, or None.

    The floor does not count.
    """
    mujoco.mj_kinematics(model, data)
    mujoco.mj_collision(model, data)
    for first, second in data.contact.geom[data.contact.dist <= 0]:
        names: list[str] = [model.geom(first).name, model.geom(second).name]
        other = [name for name in names if not name.startswith(prefix)]
        if len(other) == 1 and not other[0].startswith("floor"):
            return other[0]
    return None
