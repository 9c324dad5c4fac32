"""Poses of the Stretch's two head cameras, with the spread of FLaRe's calibration."""

from __future__ import annotations

from dataclasses import dataclass, replace

from simulation.rendering import gl  # noqa: F401  (first: it chooses MuJoCo's back-end)

import mujoco  # isort: skip
import numpy as np
from numpy.typing import NDArray

from robots.embodiments.stretch_re1 import MOUNTS

Vector3 = tuple[float, float, float]


@dataclass(frozen=True)
class CameraPose:
    """A camera fixed to the base: position in base_link (m), yaw counter-clockwise from forward, pitch downwards."""

    position_m: Vector3
    yaw_deg: float
    pitch_deg: float
    fovy_deg: float = 59.0

    def quaternion(self) -> NDArray[np.float64]:
        """Returns (w, x, y, z) of MuJoCo's camera frame: x right, y up, looking along -z."""
        yaw, pitch = np.deg2rad(self.yaw_deg), np.deg2rad(self.pitch_deg)
        right = np.array([np.sin(yaw), -np.cos(yaw), 0.0])
        backward = -np.array([np.cos(yaw) * np.cos(pitch), np.sin(yaw) * np.cos(pitch), -np.sin(pitch)])
        quaternion = np.empty(4)
        mujoco.mju_mat2Quat(quaternion, np.stack([right, np.cross(backward, right), backward], axis=1).ravel())
        return quaternion

    def jittered(self, rng: np.random.Generator, position_m: float) -> CameraPose:
        """Returns this camera with a random calibration.

        Pitch within 2 degrees in steps of 0.2, field of view within 1 degree in steps of 0.1 (FLaRe
        environment/stretch_controller.py ``calibrate_agent``); each coordinate within ``position_m``.
        """
        offset = rng.uniform(-position_m, position_m, 3)
        x, y, z = (float(v) for v in np.add(self.position_m, offset))
        return replace(
            self,
            position_m=(x, y, z),
            pitch_deg=self.pitch_deg + 0.2 * int(rng.integers(-10, 11)),
            fovy_deg=self.fovy_deg + 0.1 * int(rng.integers(-10, 11)),
        )


@dataclass(frozen=True)
class StretchCameras:
    """SPOC's two RealSense cameras on the head of a Stretch RE1: one looks ahead, one to the right, at the arm.

    Pitches and field of view: FLaRe environment/stretch_controller.py ``calibrate_agent``. Both are fixed: the head's
    pan and tilt joints do not move them.
    """

    navigation: CameraPose = CameraPose(MOUNTS["navigation"].xyz_m, yaw_deg=0.0, pitch_deg=27.0)
    manipulation: CameraPose = CameraPose(MOUNTS["manipulation"].xyz_m, yaw_deg=-90.0, pitch_deg=33.0)

    def randomised(self, rng: np.random.Generator, *, position_m: float = 0.0) -> StretchCameras:
        """Returns a random calibration: see ``CameraPose.jittered``."""
        navigation = self.navigation.jittered(rng, position_m)
        return StretchCameras(navigation, self.manipulation.jittered(rng, position_m))

    def items(self) -> tuple[tuple[str, CameraPose], ...]:
        """Returns (name, camera) pairs."""
        return (("navigation", self.navigation), ("manipulation", self.manipulation))

    def add_to(self, body: mujoco.MjsBody) -> None:
        """Adds both cameras to the robot's base."""
        for name, pose in self.items():
            body.add_camera(name=name, pos=pose.position_m, quat=pose.quaternion(), fovy=pose.fovy_deg)

    def apply(self, model: mujoco.MjModel) -> None:
        """Moves the cameras of a compiled model, so that a new calibration needs no recompilation."""
        for name, pose in self.items():
            camera = model.camera(name)
            camera.pos[:], camera.quat[:], camera.fovy[0] = pose.position_m, pose.quaternion(), pose.fovy_deg
