"""The LoCoBot's body in MuJoCo: boxes, cylinders and capsules with the dimensions of Interbotix' wx250s on a Kobuki.

Sources, all in Interbotix/interbotix_ros_rovers, interbotix_xslocobot_descriptions: [urdf] urdf/locobot.urdf.xacro,
pan_and_tilt.urdf.xacro, lidar.urdf.xacro, kobuki_version/locobot_kobuki.urdf.xacro; [tower] bounds of
meshes/locobot_meshes/kobuki_version/locobot_camera_tower_large_simple.stl and of the other meshes there; [arm]
urdf/arms/mobile_wx250s.urdf.xacro at the sleep_positions of interbotix_xslocobot_control/config/locobot_wx250s.yaml.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from simulation.rendering import gl  # noqa: F401  (first: it chooses MuJoCo's back-end)

import mujoco  # isort: skip
import numpy as np

from robots.embodiments.locobot import CAMERA_FORWARD_M, CAMERA_HEIGHT_M, HOME, IMAGE_FOV_DEG, LENS_FOV_DEG, PAN, TILT
from robots.embodiments.locobot_urdf import LENS_M, PAN_M, TILT_M
from simulation.robot_models.body import (
    COLLISION_GROUP,
    HOUSE_CONTYPE,
    ROBOT_CONTYPE,
    VISUAL_GROUP,
    Eye,
    add_base_joints,
)

PREFIX = "locobot_"
CAMERA = "navigation"
FOOTPRINT_M = 0.178  # radius of the Kobuki's collision cylinder [urdf]

Vector3 = tuple[float, float, float]
Corners = tuple[Vector3, Vector3]

_TOWER = (-0.024, 0.0, 0.0984)  # camera_tower_link on the floor's frame: 0.0102 base_joint + 0.08823 [urdf]
_BLACK, _GREY, _STEEL = (0.10, 0.10, 0.11, 1.0), (0.35, 0.36, 0.38, 1.0), (0.62, 0.63, 0.65, 1.0)

BASE_Z_M = (0.0151, 0.1244)
"""Bottom and top of the Kobuki: 0.0102 base_joint + 0.05949 +- 0.10938 / 2 [urdf]; a rug is no collision."""

BOXES: dict[str, Corners] = {  # [tower], moved by `_TOWER`: the box above the base, its lid, three posts, the top plate
    "battery": ((-0.110, -0.170, 0.1244), (0.0225, 0.170, 0.2132)),
    "deck": ((-0.157, -0.170, 0.2132), (0.0225, 0.170, 0.2179)),
    "post_back": ((-0.157, -0.010, 0.2179), (-0.137, 0.010, 0.5332)),
    "post_right": ((-0.088, -0.125, 0.2179), (-0.068, -0.105, 0.5332)),
    "post_left": ((-0.088, 0.105, 0.2179), (-0.068, 0.125, 0.5332)),
    "top": ((-0.157, -0.146, 0.5332), (0.0407, 0.146, 0.5427)),
}

LIDAR: Corners = ((-0.0975, 0.0, 0.5427), (-0.0975, 0.0, 0.649))  # [urdf] tower 0.0943 high, laser to 11 mm above it
LIDAR_RADIUS_M = 0.038  # [urdf] cylinder of the laser

ARM: dict[
    str, tuple[Corners, float]
] = {  # ends of each link's axis and its radius [arm], on the base plate at x 0.0973
    "shoulder": (((0.097, 0.0, 0.13), (0.097, 0.0, 0.213)), 0.035),
    "upper_arm": (((0.097, 0.0, 0.213), (-0.10, 0.0, 0.37)), 0.028),
    "forearm": (((-0.10, 0.0, 0.37), (0.122, 0.0, 0.262)), 0.025),
    "hand": (((0.122, 0.0, 0.262), (0.205, 0.0, 0.147)), 0.03),
}


@dataclass(frozen=True)
class Locobot:
    """The LoCoBot as a `simulation.robot_models.body.Body`.

    Attributes:
        image_fov_deg: vertical field of view of its camera image; `lens` is the part of it that the lens fills.
        lens_fov_deg: horizontal and vertical field of view of the lens.
        offset_m: by how far this robot's camera is off (x forward, y left, z up).
        pitch_deg: pitch of the camera downwards relative to its tilt joint.
    """

    image_fov_deg: float = IMAGE_FOV_DEG
    lens_fov_deg: tuple[float, float] = LENS_FOV_DEG
    offset_m: Vector3 = (0.0, 0.0, 0.0)
    pitch_deg: float = 0.0

    geom_prefix = PREFIX
    rest = {PAN: HOME.pan_rad, TILT: HOME.tilt_rad}  # noqa: RUF012 - never written to

    @property
    def lens(self) -> tuple[float, float]:
        """Tangents of the lens's half field of view, horizontal and vertical."""
        across, up = (math.tan(math.radians(angle) / 2) for angle in self.lens_fov_deg)
        return across, up

    def randomised(self, rng: np.random.Generator, *, position_m: float = 0.0) -> Locobot:
        """Returns a random calibration: pitch within 2 degrees, field of view within 1, as FLaRe draws for the Stretch
        (environment/stretch_controller.py `calibrate_agent`), each coordinate within `position_m`."""
        x, y, z = rng.uniform(-position_m, position_m, 3)
        pitch, wider = 0.2 * int(rng.integers(-10, 11)), 0.1 * int(rng.integers(-10, 11))
        across, up = self.lens_fov_deg
        lens = across * (up + wider) / up, up + wider
        return replace(self, offset_m=(float(x), float(y), float(z)), pitch_deg=pitch, lens_fov_deg=lens)

    def add_to(self, scene: mujoco.MjSpec) -> None:
        """Adds it to a scene, at the origin, facing +x."""
        base = scene.worldbody.add_body(name="base_link", gravcomp=1.0)
        add_base_joints(base)
        _add_trunk(base)
        pan = _add_turning(base, PAN, PAN_M, (0.0, 0.0, 1.0))
        _add_box(pan, "pan", ((-0.021, -0.035, -0.002), (0.020, 0.011, 0.039)), _BLACK)  # [tower] bounds of the mesh
        tilt = _add_turning(pan, TILT, TILT_M, (0.0, -1.0, 0.0))  # up positive
        _add_box(tilt, "camera", ((0.032, -0.045, -0.0124), (0.0525, 0.045, 0.0124)), _STEEL)  # a D435 is 90 x 25 mm
        self._add_camera(tilt)

    def positions(self, joints: Mapping[str, float]) -> dict[str, float]:
        """Positions of the model's joints, which are those of the embodiment."""
        return {name: joints[name] for name in self.rest}

    def _add_camera(self, tilt: mujoco.MjsBody) -> None:
        a = math.radians(self.pitch_deg)
        right, back = np.array([0.0, -1.0, 0.0]), np.array([-math.cos(a), 0.0, math.sin(a)])
        quaternion = np.empty(4)
        mujoco.mju_mat2Quat(quaternion, np.stack([right, np.cross(back, right), back], axis=1).ravel())
        place = np.add(LENS_M, self.offset_m)
        tilt.add_camera(name=CAMERA, pos=place, quat=quaternion, fovy=self.image_fov_deg)


LOCOBOT_EYE = Eye(CAMERA_FORWARD_M, CAMERA_HEIGHT_M, -math.degrees(HOME.tilt_rad), LENS_FOV_DEG[1])


def _add_trunk(base: mujoco.MjsBody) -> None:
    low, high = BASE_Z_M
    _add_geom(base, "base", mujoco.mjtGeom.mjGEOM_CYLINDER, _BLACK, size=(FOOTPRINT_M, (high - low) / 2, 0),
              pos=(0, 0, (low + high) / 2))  # fmt: skip
    for name, corners in BOXES.items():
        _add_box(base, name, corners, _GREY if name == "battery" else _BLACK)
    _add_rod(base, "lidar", LIDAR, LIDAR_RADIUS_M, mujoco.mjtGeom.mjGEOM_CYLINDER)
    for name, (ends, radius) in ARM.items():
        _add_rod(base, name, ends, radius, mujoco.mjtGeom.mjGEOM_CAPSULE)


def _add_turning(parent: mujoco.MjsBody, joint: str, place: Vector3, axis: Vector3) -> mujoco.MjsBody:
    body = parent.add_body(name=f"{joint}_link", pos=place, gravcomp=1.0)
    body.add_joint(name=joint, type=mujoco.mjtJoint.mjJNT_HINGE, axis=axis, damping=1)
    return body


def _add_box(body: mujoco.MjsBody, name: str, corners: Corners, rgba: tuple[float, ...]) -> None:
    lower, upper = np.array(corners)
    _add_geom(body, name, mujoco.mjtGeom.mjGEOM_BOX, rgba, pos=(lower + upper) / 2, size=(upper - lower) / 2)


def _add_rod(body: mujoco.MjsBody, name: str, ends: Corners, radius: float, kind: mujoco.mjtGeom) -> None:
    _add_geom(body, name, kind, _BLACK, fromto=(*ends[0], *ends[1]), size=(radius, 0, 0))


def _add_geom(body: mujoco.MjsBody, name: str, kind: mujoco.mjtGeom, rgba: tuple[float, ...], **values: object) -> None:
    """Adds a visual geom and an equal collision geom."""
    what = f"{PREFIX}visual_{name}", f"{PREFIX}collision_{name}"
    body.add_geom(name=what[0], type=kind, group=VISUAL_GROUP, contype=0, conaffinity=0, mass=0, rgba=rgba, **values)
    body.add_geom(
        name=what[1],
        type=kind,
        group=COLLISION_GROUP,
        contype=ROBOT_CONTYPE,
        conaffinity=HOUSE_CONTYPE,
        mass=0.1,  # MuJoCo requires a mass of moving bodies, though nothing is integrated
        **values,
    )
