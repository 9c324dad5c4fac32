"""What a perturbation does to a twin in one episode."""

from __future__ import annotations

import math

import cv2
import numpy as np
import numpy.typing as npt

from robots.spec import U8Image
from simulation.perturbation import Perturbation
from simulation.rendering import gl  # noqa: F401  (first: it chooses MuJoCo's back-end)

import mujoco  # isort: skip


class PerturbedEpisode:
    """A perturbation whose directions are drawn; they stay until the next episode.

    Args:
        perturbation: the axes and how severe they are.
        seed: of the directions and of the images' noise.
    """

    def __init__(self, perturbation: Perturbation, seed: tuple[int, ...]) -> None:
        self._amount = perturbation.amount
        self._rng = np.random.default_rng(seed)
        self._exposure = 2.0 ** (self._sign() * self._amount("exposure"))
        warmer = self._sign() * self._amount("colour")
        self._gains = self._exposure * np.array([1.0 + warmer, 1.0, 1.0 - warmer])
        self.drive = 1.0 + self._sign() * self._amount("drive")
        """Distance driven for each metre asked for."""
        self.turn = 1.0 + self._sign() * self._amount("turn")
        """Angle turned for each radian asked for."""
        self.motion_noise = 1.0 + self._amount("motion_noise")
        """Factor of the standard deviations of motions."""

    def change(self, model: mujoco.MjModel) -> None:
        """Moves the cameras of a compiled model, and changes its lights and colours."""
        for camera in range(model.ncam):
            self._move_camera(model, camera)
        if dark := self._amount("light"):
            strength = max(0.0, 1.0 - dark)
            for values in (model.light_diffuse, model.light_ambient, model.light_specular):
                values[:] *= strength
            model.vis.headlight.diffuse[:] *= strength
            model.vis.headlight.ambient[:] *= strength
        if part := self._amount("paint"):
            bare = model.geom_matid < 0  # another colour of a geom would replace its material's, textures and all
            model.geom_rgba[bare, :3] = self._repainted(model.geom_rgba[bare, :3], part)
            model.mat_rgba[:, :3] = self._repainted(model.mat_rgba[:, :3], part)

    def image(self, image: U8Image) -> U8Image:
        """An image (height, width, 3) uint8 as the perturbed camera takes it."""
        if (sigma := self._amount("blur")) > 0.0:
            image = np.asarray(cv2.GaussianBlur(image, (0, 0), sigma * image.shape[1]), np.uint8)
        spread = self._amount("noise")
        if spread == 0.0 and np.all(self._gains == 1.0):
            return image
        values = image * self._gains
        if spread:
            values = values + self._rng.normal(0.0, spread, image.shape)
        return np.asarray(np.clip(np.rint(values), 0, 255), np.uint8)

    def _repainted(self, colours: npt.NDArray[np.float32], part: float) -> npt.NDArray[np.float64]:
        return (1.0 - part) * colours + part * self._rng.uniform(0.0, 1.0, size=colours.shape)

    def _move_camera(self, model: mujoco.MjModel, camera: int) -> None:
        pitch = math.radians(self._sign() * self._amount("camera_pitch"))
        turned, right = np.empty(4), np.array([math.cos(pitch / 2), math.sin(pitch / 2), 0.0, 0.0])
        mujoco.mju_mulQuat(turned, model.cam_quat[camera], right)  # about the axis to the right of its image
        model.cam_quat[camera] = turned
        model.cam_pos[camera] += self._amount("camera_position") * self._direction()
        model.cam_fovy[camera] *= 1.0 + self._sign() * self._amount("lens")

    def _direction(self) -> npt.NDArray[np.float64]:
        drawn = self._rng.normal(size=3)
        return np.asarray(drawn / np.linalg.norm(drawn))

    def _sign(self) -> float:
        return float(self._rng.choice((-1.0, 1.0)))
