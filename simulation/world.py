"""A house with a Stretch RE1 in it, compiled: pose, contact and sight. Kinematic: nothing is integrated over time."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from simulation import gl  # noqa: F401  (first: it chooses MuJoCo's back-end)

import mujoco  # isort: skip
import numpy as np
import numpy.typing as npt

from robots.command import MoveBase, RotateBase
from simulation.appearance import Appearance
from simulation.cameras import StretchCameras
from simulation.house import House
from simulation.stretch import StretchBody, StretchPose, add_stretch, in_collision

BasePose = tuple[float, float, float]
"""x [m], y [m], yaw [rad], counter-clockwise."""

SLICE_M, SLICE_RAD = 0.02, math.radians(3.0)
"""Motion between two looks for contact; the thinnest thing in a house (a wall) is thicker."""

FINGER_M = 0.2
"""Length of a finger: half the aperture over it is the sine of the finger's angle (URDF: 0.196 m)."""

STOWED: Mapping[str, float] = {
    "joint_lift": 0.3,
    "joint_arm": 0.0,
    "joint_wrist_yaw": 3.2,
    "joint_head_pan": 0.0,
    "joint_head_tilt": 0.0,
    "gripper_aperture": 0.03,
}
"""Arm in, gripper folded back over the base: how Hello Robot drives (stretch_body `stow`), the smallest footprint."""

_HOUSE_GROUPS = np.array([1, 1, 0, 0, 1, 1], dtype=np.uint8)  # without the robot (2, 3) and the hidden boxes (3)


class World:
    """One compiled house with the robot.

    Args:
        house: the house.
        appearance: its looks; None for those of its seed.
        cameras: the robot's head cameras.
        detail: of the robot's meshes, "low" or "high".
        aspect: width over height of the cameras' pictures, for the frustum.
    """

    def __init__(
        self,
        house: House,
        *,
        appearance: Appearance | None = None,
        cameras: StretchCameras = StretchCameras(),  # noqa: B008 - frozen
        detail: str = "low",
        aspect: float = 12 / 7,
    ) -> None:
        spec = house.spec(appearance)
        add_stretch(spec, cameras=cameras, detail=detail)
        self.house = house
        self.model = spec.compile()
        self.data = mujoco.MjData(self.model)
        self.joints = dict(STOWED)
        self._aspect = aspect
        self._base: BasePose = (0.0, 0.0, 0.0)
        self._address = {
            name: int(self.model.jnt_qposadr[mujoco.mj_name2id(self.model, mujoco.mjtObj.mjOBJ_JOINT, name)])
            for name in StretchPose().joints()
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
        for name, value in zip(StretchBody.BASE_JOINTS, pose, strict=True):
            self.data.qpos[self._address[name]] = value

    def move_joints(self, positions: Mapping[str, float]) -> None:
        """Puts joints of the embodiment (name -> [m] or [rad]) where they are told to be."""
        self.joints |= positions
        self._place_joints()

    def _place_joints(self) -> None:
        pose = StretchPose(
            *self._base,
            lift_m=self.joints["joint_lift"],
            arm_m=self.joints["joint_arm"],
            wrist_yaw_rad=self.joints["joint_wrist_yaw"],
            gripper_rad=math.asin(self.joints["gripper_aperture"] / 2 / FINGER_M),
            pan_rad=self.joints["joint_head_pan"],
            tilt_rad=self.joints["joint_head_tilt"],
        )
        for name, value in pose.joints().items():
            self.data.qpos[self._address[name]] = value

    def contact(self) -> str | None:
        """Name of what the robot touches now, or None."""
        name = in_collision(self.model, self.data)
        return None if name is None else name.removesuffix("_box")

    def settle(self) -> None:
        """Brings frames, cameras and lights up to date with the pose, before a picture or a look."""
        mujoco.mj_kinematics(self.model, self.data)
        mujoco.mj_camlight(self.model, self.data)

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
        edge = math.tan(math.radians(float(self.model.cam_fovy[index])) / 2)
        if back >= 0 or abs(up) > -back * edge or abs(right) > -back * edge * self._aspect:
            return False
        geom = np.array([-1], dtype=np.int32)
        way = np.asarray(point_m - eye)
        share = mujoco.mj_ray(self.model, self.data, eye, way, _HOUSE_GROUPS, 1, -1, geom)
        return bool(share < 0 or share > 0.99 or self.model.geom_bodyid[geom[0]] == self._bodies[body])


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
