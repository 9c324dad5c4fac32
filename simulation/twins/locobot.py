"""The LoCoBot in a procedural house, as a `Robot` like the real one."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from robots.cameras.letterbox import fov_scale
from robots.embodiments.locobot import IMAGE_FOV_DEG, camera_slots, locobot
from robots.spec import U8Image
from simulation.robot_models.body import Body
from simulation.robot_models.locobot import LOCOBOT_EYE, Locobot
from simulation.twins.house_twin import Twin, TwinOptions


@dataclass(frozen=True)
class LocobotOptions(TwinOptions):
    """Options of the twin: `TwinOptions`, and those of a LoCoBot's drivers.

    Attributes:
        camera_slots: which actions move the camera, see `embodiments.locobot.camera_slots`; empty: the default.
        image_fov_deg: vertical field of view of its images; what the lens does not cover is black.
    """

    camera_slots: str = ""
    image_fov_deg: float = IMAGE_FOV_DEG


class LocobotTwin(Twin):
    """A simulated LoCoBot; its camera follows the pan and tilt joints."""

    def __init__(self, options: TwinOptions = LocobotOptions()) -> None:
        if not isinstance(options, LocobotOptions):
            options = LocobotOptions(**{field.name: getattr(options, field.name) for field in fields(options)})
        self._image_fov_deg = options.image_fov_deg
        super().__init__(options, locobot(camera_slots(options.camera_slots), options.image_fov_deg), LOCOBOT_EYE)

    def _body(self, rng: np.random.Generator | None) -> Body:
        body = Locobot(self._image_fov_deg)
        return body.randomised(rng, position_m=0.02) if rng else body

    def _images(self) -> dict[str, U8Image]:
        body = self.world.body
        assert isinstance(body, Locobot)  # as `_body` made it
        return {name: beyond_lens_black(image, body) for name, image in super()._images().items()}


def beyond_lens_black(image: U8Image, body: Locobot) -> U8Image:
    """`image`, (height, width, 3) uint8, black where the lens does not see, as by `cameras.letterbox.letterbox`."""
    height, width = image.shape[:2]
    across, up = body.lens
    rows = round(fov_scale(body.lens_fov_deg[1], body.image_fov_deg) * height)
    top, left = max(0, (height - rows) // 2), max(0, (width - round(rows * across / up)) // 2)
    image[:top] = image[height - top :] = 0
    image[:, :left] = image[:, width - left :] = 0
    return image
