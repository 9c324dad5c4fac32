"""A floor with a few coloured things around a Stretch RE1: every measure is known."""

from __future__ import annotations

from simulation.rendering import gl  # noqa: F401  (first: it chooses MuJoCo's back-end)

import mujoco  # isort: skip
from simulation.robot_models.stretch import add_stretch
from simulation.robot_models.stretch_cameras import StretchCameras

BOX, SPHERE, PLANE = mujoco.mjtGeom.mjGEOM_BOX, mujoco.mjtGeom.mjGEOM_SPHERE, mujoco.mjtGeom.mjGEOM_PLANE
WALL_FACE_M = 2.0
"""Where the wall ahead begins, on the x axis."""


def stretch_scene(cameras: StretchCameras | None = None, detail: str = "low") -> mujoco.MjModel:
    """The robot at the origin; a wall ahead, a table to its right with a red ball on it, a floor at z = 0."""
    spec = mujoco.MjSpec()
    world = spec.worldbody
    world.add_light(pos=[0, 0, 4], dir=[0.2, 0.1, -1], type=mujoco.mjtLightType.mjLIGHT_DIRECTIONAL)
    world.add_geom(name="floor", type=PLANE, size=[5, 5, 0.1], rgba=[0.6, 0.5, 0.4, 1])
    world.add_geom(
        name="wall", type=BOX, pos=[WALL_FACE_M + 0.05, 0, 1.2], size=[0.05, 4, 1.2], rgba=[0.8, 0.8, 0.9, 1]
    )
    world.add_geom(name="table", type=BOX, pos=[0, -1.1, 0.3], size=[0.5, 0.4, 0.02], rgba=[0.5, 0.3, 0.1, 1])
    world.add_geom(name="ball", type=SPHERE, pos=[0, -0.95, 0.37], size=[0.05, 0, 0], rgba=[0.9, 0.0, 0.0, 1])
    world.add_geom(name="post", type=BOX, pos=[-1.5, 1.0, 0.6], size=[0.05, 0.05, 0.6], rgba=[0.1, 0.7, 0.2, 1])
    add_stretch(spec, cameras=cameras or StretchCameras(), detail=detail)
    return spec.compile()
