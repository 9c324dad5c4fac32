"""A compiled house with a robot: pose, contact and visibility. Kinematic: nothing is integrated over time."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from simulation.rendering import gl  # noqa: F401  (first: it chooses MuJoCo's back-end)

import mujoco  # isort: skip
import numpy as np
import numpy.typing as npt

from robots.command import MoveBase, RotateBase
from simulation.houses.appearance import Appearance
from simulation.houses.house import House, HouseObject
from simulation.houses.objects.part import Vector
from simulation.robot_models.body import BASE_JOINTS, COLLISION_GROUP, HOUSE_CONTYPE, BasePose, Body, touched
from simulation.robot_models.stretch import STRETCH

SLICE_M, SLICE_RAD = 0.02, math.radians(3.0)
"""Motion between two contact checks; the thinnest obstacle in a house (a wall) is thicker."""

_HOUSE_GROUPS = np.array([1, 1, 0, 0, 1, 1], dtype=np.uint8)  # without the robot (2, 3) and the hidden boxes (3)


class World:
    """One compiled house with the robot.

    Args:
        house: the house.
        body: the robot.
        appearance: of the house; None for that of its seed.
        aspect: width over height of the cameras' images, for the frustum.

    Attributes:
        house: the house, with the objects at their current places.
        carry: called by `settle`, moves the held object along with the hand; None while nothing is held.
    """

    def __init__(
        self,
        house: House,
        body: Body = STRETCH,
        *,
        appearance: Appearance | None = None,
        aspect: float = 12 / 7,
    ) -> None:
        spec = house.spec(appearance)
        body.add_to(spec)
        self.house, self.body = house, body
        self.model = spec.compile()
        self.data = mujoco.MjData(self.model)
        self.joints = dict(body.rest)
        self.carry: Callable[[], None] | None = None
        self._aspect = aspect
        self._base: BasePose = (0.0, 0.0, 0.0)
        self._address = {
            name: int(self.model.jnt_qposadr[mujoco.mj_name2id(self.model, mujoco.mjtObj.mjOBJ_JOINT, name)])
            for name in (*BASE_JOINTS, *body.positions(self.joints))
        }
        self._bodies = {thing.name: self.model.body(thing.name).id for thing in house.objects}
        self._place_joints()

    @property
    def base(self) -> BasePose:
        """Base pose; setting it moves the robot there without a contact check."""
        return self._base

    @base.setter
    def base(self, pose: BasePose) -> None:
        self._base = pose
        for name, value in zip(BASE_JOINTS, pose, strict=True):
            self.data.qpos[self._address[name]] = value

    def move_joints(self, positions: Mapping[str, float]) -> None:
        """Sets positions of the embodiment's joints (name -> [m] or [rad]) without a contact check."""
        self.joints |= positions
        self._place_joints()

    def _place_joints(self) -> None:
        for name, value in self.body.positions(self.joints).items():
            self.data.qpos[self._address[name]] = value

    def contact(self) -> str | None:
        """Returns the name of what the robot touches now, or None."""
        name = touched(self.model, self.data, self.body.geom_prefix)
        return None if name is None else name.removesuffix("_box")

    def settle(self) -> None:
        """Updates frames, cameras and lights to the pose, before rendering or a visibility check."""
        mujoco.mj_kinematics(self.model, self.data)
        if self.carry is not None:
            self.carry()
            mujoco.mj_kinematics(self.model, self.data)
        mujoco.mj_camlight(self.model, self.data)

    def object(self, name: str) -> HouseObject:
        """Returns an object of the house by its name. Raises KeyError."""
        for thing in self.house.objects:
            if thing.name == name:
                return thing
        raise KeyError(name)

    def put(self, name: str, position_m: Vector, yaw_rad: float) -> None:
        """Moves an object, upright, with the centre of its bounding box to `position_m`. Call `settle` afterwards."""
        thing, index = self.object(name), self._bodies[name]
        moved = replace(thing, position_m=position_m, yaw_rad=yaw_rad)
        self.model.body_pos[index] = position_m
        self.model.body_quat[index] = math.cos(yaw_rad / 2), 0.0, 0.0, math.sin(yaw_rad / 2)
        objects = tuple(moved if other is thing else other for other in self.house.objects)
        self.house = replace(self.house, objects=objects)

    def set_solid(self, name: str, is_solid: bool) -> None:
        """Sets whether the robot can collide with an object on the floor; with the others it never does."""
        for geom in range(self.model.ngeom):
            if self.model.geom_bodyid[geom] == self._bodies[name] and self.model.geom_group[geom] == COLLISION_GROUP:
                self.model.geom_contype[geom] = self.model.geom_conaffinity[geom] = HOUSE_CONTYPE * is_solid

    def first_contact(self, poses: Iterable[BasePose]) -> str | None:
        """Returns what the base would touch along `poses`, or None; the robot's pose is restored."""
        current = self._base
        try:
            for pose in poses:
                self.base = pose
                touched = self.contact()
                if touched is not None:
                    return touched
            return None
        finally:
            self.base = current

    def sees(self, point_m: npt.NDArray[np.float64], body: str, camera: str = "navigation") -> bool:
        """Returns whether a point (3,) of an object is in a camera's frustum and not occluded by another body.

        The robot does not occlude. Call `settle` after a motion.
        """
        index = self.model.camera(camera).id
        eye = self.data.cam_xpos[index]
        right, up, back = self.data.cam_xmat[index].reshape(3, 3).T @ (point_m - eye)
        side, top = self._half_view(index)
        if back >= 0 or abs(up) > -back * top or abs(right) > -back * side:
            return False
        geom = np.array([-1], dtype=np.int32)
        ray = np.asarray(point_m - eye)
        fraction = mujoco.mj_ray(self.model, self.data, eye, ray, _HOUSE_GROUPS, 1, -1, geom)
        return bool(fraction < 0 or fraction > 0.99 or self.model.geom_bodyid[geom[0]] == self._bodies[body])

    def _half_view(self, camera: int) -> tuple[float, float]:
        """Tangents of a camera's half field of view, horizontal and vertical."""
        top = math.tan(math.radians(float(self.model.cam_fovy[camera])) / 2)
        side, lens = top * self._aspect, self.body.lens
        return (side, top) if lens is None else (min(side, lens[0]), min(top, lens[1]))


def swept(pose: BasePose, move: MoveBase | RotateBase) -> list[BasePose]:
    """Samples the poses along a base move every `SLICE_M` or `SLICE_RAD`, the last one at its end."""
    x, y, yaw = pose
    if isinstance(move, MoveBase):
        count = max(1, math.ceil(abs(move.distance_m) / SLICE_M - 1e-9))
        steps = [move.distance_m * k / count for k in range(1, count + 1)]
        return [(x + s * math.cos(yaw), y + s * math.sin(yaw), yaw) for s in steps]
    count = max(1, math.ceil(abs(move.angle_rad) / SLICE_RAD - 1e-9))
    return [(x, y, wrapped(yaw + move.angle_rad * k / count)) for k in range(1, count + 1)]


def wrapped(angle_rad: float) -> float:
    """Wraps an angle to [-pi, pi)."""
    return (angle_rad + math.pi) % (2 * math.pi) - math.pi
