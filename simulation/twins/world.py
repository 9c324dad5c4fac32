"""A house with a robot in it, compiled: pose, contact and sight. Kinematic: nothing is integrated over time."""

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
"""Motion between two looks for contact; the thinnest thing in a house (a wall) is thicker."""

_HOUSE_GROUPS = np.array([1, 1, 0, 0, 1, 1], dtype=np.uint8)  # without the robot (2, 3) and the hidden boxes (3)


class World:
    """One compiled house with the robot.

    Args:
        house: the house.
        body: the robot.
        appearance: the house's looks; None for those of its seed.
        aspect: width over height of the cameras' pictures, for the frustum.

    Attributes:
        house: the house, with its objects where they are now.
        carry: called by `settle`, brings along what the robot holds; None while it holds nothing.
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
        """Where the base is; setting it moves the robot there, whatever is in the way."""
        return self._base

    @base.setter
    def base(self, pose: BasePose) -> None:
        self._base = pose
        for name, value in zip(BASE_JOINTS, pose, strict=True):
            self.data.qpos[self._address[name]] = value

    def move_joints(self, positions: Mapping[str, float]) -> None:
        """Puts joints of the embodiment (name -> [m] or [rad]) where they are told to be."""
        self.joints |= positions
        self._place_joints()

    def _place_joints(self) -> None:
        for name, value in self.body.positions(self.joints).items():
            self.data.qpos[self._address[name]] = value

    def contact(self) -> str | None:
        """Name of what the robot touches now, or None."""
        name = touched(self.model, self.data, self.body.geom_prefix)
        return None if name is None else name.removesuffix("_box")

    def settle(self) -> None:
        """Brings frames, cameras and lights up to date with the pose, before a picture or a look."""
        mujoco.mj_kinematics(self.model, self.data)
        if self.carry is not None:
            self.carry()
            mujoco.mj_kinematics(self.model, self.data)
        mujoco.mj_camlight(self.model, self.data)

    def object(self, name: str) -> HouseObject:
        """An object of the house by its name. Raises KeyError."""
        for thing in self.house.objects:
            if thing.name == name:
                return thing
        raise KeyError(name)

    def put(self, name: str, position_m: Vector, yaw_rad: float) -> None:
        """Moves an object, upright, the middle of its bounding box to `position_m`. Call `settle` afterwards."""
        thing, index = self.object(name), self._bodies[name]
        moved = replace(thing, position_m=position_m, yaw_rad=yaw_rad)
        self.model.body_pos[index] = position_m
        self.model.body_quat[index] = math.cos(yaw_rad / 2), 0.0, 0.0, math.sin(yaw_rad / 2)
        objects = tuple(moved if one is thing else one for one in self.house.objects)
        self.house = replace(self.house, objects=objects)

    def set_solid(self, name: str, is_solid: bool) -> None:
        """Whether the robot touches an object that stands on the floor; the others it never touches."""
        for geom in range(self.model.ngeom):
            if self.model.geom_bodyid[geom] == self._bodies[name] and self.model.geom_group[geom] == COLLISION_GROUP:
                self.model.geom_contype[geom] = self.model.geom_conaffinity[geom] = HOUSE_CONTYPE * is_solid

    def first_contact(self, poses: Iterable[BasePose]) -> str | None:
        """What the base would touch on its way through `poses`, or None; the robot stays where it is."""
        here = self._base
        try:
            for pose in poses:
                self.base = pose
                touched = self.contact()
                if touched is not None:
                    return touched
            return None
        finally:
            self.base = here

    def sees(self, point_m: npt.NDArray[np.float64], body: str, camera: str = "navigation") -> bool:
        """Whether a point (3,) of an object is in a camera's frustum with nothing but its own body before it.

        The robot does not block the view. Call `settle` after a motion.
        """
        index = self.model.camera(camera).id
        eye = self.data.cam_xpos[index]
        right, up, back = self.data.cam_xmat[index].reshape(3, 3).T @ (point_m - eye)
        side, top = self._half_view(index)
        if back >= 0 or abs(up) > -back * top or abs(right) > -back * side:
            return False
        geom = np.array([-1], dtype=np.int32)
        way = np.asarray(point_m - eye)
        share = mujoco.mj_ray(self.model, self.data, eye, way, _HOUSE_GROUPS, 1, -1, geom)
        return bool(share < 0 or share > 0.99 or self.model.geom_bodyid[geom[0]] == self._bodies[body])

    def _half_view(self, camera: int) -> tuple[float, float]:
        """Tangents of half the angle seen by a camera, to the side and up."""
        top = math.tan(math.radians(float(self.model.cam_fovy[camera])) / 2)
        side, lens = top * self._aspect, self.body.lens
        return (side, top) if lens is None else (min(side, lens[0]), min(top, lens[1]))


def swept(pose: BasePose, move: MoveBase | RotateBase) -> list[BasePose]:
    """The poses that a base move goes through, every `SLICE_M` or `SLICE_RAD`, the last one at its end."""
    x, y, yaw = pose
    if isinstance(move, MoveBase):
        count = max(1, math.ceil(abs(move.distance_m) / SLICE_M - 1e-9))
        steps = [move.distance_m * k / count for k in range(1, count + 1)]
        return [(x + s * math.cos(yaw), y + s * math.sin(yaw), yaw) for s in steps]
    count = max(1, math.ceil(abs(move.angle_rad) / SLICE_RAD - 1e-9))
    return [(x, y, wrapped(yaw + move.angle_rad * k / count)) for k in range(1, count + 1)]


def wrapped(angle_rad: float) -> float:
    """The same angle in [-pi, pi)."""
    return (angle_rad + math.pi) % (2 * math.pi) - math.pi
