"""A recorded episode played again in its house, seen from behind the robot: for videos, not for policies."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from types import TracebackType

from simulation.rendering import gl  # noqa: F401  (first: it chooses MuJoCo's back-end)

import mujoco  # isort: skip
import numpy as np

from robots.spec import U8Image
from simulation.episode import EpisodeSpec
from simulation.rendering.renderer import Renderer, RenderQuality
from simulation.robot_models.body import BasePose
from simulation.twins.grasp_sphere import Hand
from simulation.twins.house_twin import StretchTwin, TwinOptions
from simulation.twins.registry import make_twin
from simulation.twins.world import World, wrapped

QUALITY = RenderQuality(shadow_size=1024, slices=20)
"""Without anti-aliasing, which takes more than twice as long and does not survive the video."""
DISTANCE_M, SIDE_RAD = 2.3, math.radians(25.0)
LOOK_AT_M = 0.65
"""Distance of the camera, its angle beside the robot's heading, and the height that it looks at."""

ELEVATIONS_DEG = (-24.0, -34.0, -44.0, -54.0, -64.0, -74.0, -84.0)
"""The camera rises until nothing stands between it and the robot; houses have no ceiling."""

BODY_M = ((0.0, 0.25), (0.0, 0.7), (0.0, 1.2), (-0.25, 0.5), (0.25, 0.5))
"""Points of the robot that must be in sight: to its side as the camera sees it, and above the floor."""

FOLLOW = 0.4
"""Fraction of the way to its new place that the camera goes with each decision."""

_HOUSE_GROUPS = np.array([1, 1, 0, 0, 1, 1], dtype=np.uint8)  # without the robot


class Replay:
    """One episode's house with its robot; a context manager.

    Args:
        body: name of the robot, one of `simulation.twins.registry.TWINS`.
        episode: the episode.
        size: height and width of the images [pixels].
        quality: of the rendering.
        randomise_appearance: as in the options of the recorded twin.

    Raises:
        SpecError: there is no such twin.
        HouseGenerationError: the house cannot be generated.
        NoDisplayDriver: this machine cannot render.
    """

    def __init__(
        self,
        body: str,
        episode: EpisodeSpec,
        size: tuple[int, int],
        *,
        quality: RenderQuality = QUALITY,
        randomise_appearance: bool = False,
    ) -> None:
        options = TwinOptions(detail="high", randomise_appearance=randomise_appearance)
        self._twin = make_twin(body, options)
        self._twin.reset(episode)
        self._names = self._twin.spec.state["joints"].names
        self._hand = Hand(self.world) if isinstance(self._twin, StretchTwin) else None
        self._renderer = Renderer(self.world.model, *size, quality)
        self._camera: tuple[float, float, float, float] | None = None  # x, y, azimuth, elevation

    @property
    def world(self) -> World:
        """The house."""
        return self._twin.world

    def show(self, pose: BasePose, state: Mapping[str, Sequence[float]]) -> None:
        """Puts the robot at a recorded pose, with the state groups of its observation."""
        self.world.base = pose
        joints = state.get("joints", ())
        if len(joints) == len(self._names):
            self.world.move_joints(dict(zip(self._names, map(float, joints), strict=True)))
        self.world.settle()
        if self._hand is not None and "hand" in state:
            self._hold(self._hand, state["hand"][0] > 0.5)

    def frame(self, decisions: float = 1.0) -> U8Image:
        """Renders (height, width, 3) uint8 RGB from behind the robot, `decisions` after the frame before."""
        x, y, yaw = self.world.base
        azimuth = yaw - SIDE_RAD
        wanted = (x, y, azimuth, self._elevation(azimuth))
        self._camera = wanted if self._camera is None else _towards(self._camera, wanted, 1 - (1 - FOLLOW) ** decisions)
        x, y, azimuth, elevation = self._camera
        data = self.world.data
        return self._renderer.free_view(data, (x, y, LOOK_AT_M), DISTANCE_M, math.degrees(azimuth), elevation)

    def __enter__(self) -> Replay:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._renderer.close()

    def _hold(self, hand: Hand, holds: bool) -> None:
        """Takes what is nearest when the record says that the hand holds something, and releases it likewise."""
        if holds and hand.thing is None and (thing := hand.nearest()) is not None:
            hand.take(thing)
        elif not holds and hand.thing is not None:
            hand.release()
        self.world.settle()

    def _elevation(self, azimuth: float) -> float:
        """Returns the lowest elevation [deg] from which the robot is in sight."""
        return next((one for one in ELEVATIONS_DEG if self._sees(azimuth, math.radians(one))), ELEVATIONS_DEG[-1])

    def _sees(self, azimuth: float, elevation: float) -> bool:
        x, y, _ = self.world.base
        back = np.array(
            [-math.cos(elevation) * math.cos(azimuth), -math.cos(elevation) * math.sin(azimuth), -math.sin(elevation)]
        )
        eye, geom = np.array([x, y, LOOK_AT_M]) + DISTANCE_M * back, np.array([-1], dtype=np.int32)
        for side, height in BODY_M:
            start = np.array([x - side * math.sin(azimuth), y + side * math.cos(azimuth), height])
            ray = eye - start
            hit = mujoco.mj_ray(self.world.model, self.world.data, start, ray, _HOUSE_GROUPS, 1, -1, geom)
            if 0 <= hit < 1:
                return False
        return True


def _towards(
    now: tuple[float, float, float, float], wanted: tuple[float, float, float, float], part: float
) -> tuple[float, float, float, float]:
    """Returns a camera's (x, y, azimuth, elevation) a part of the way on."""
    x, y, azimuth, elevation = now
    turn = wrapped(wanted[2] - azimuth)
    return (
        x + part * (wanted[0] - x),
        y + part * (wanted[1] - y),
        azimuth + part * turn,
        elevation + part * (wanted[3] - elevation),
    )


def between(first: BasePose, second: BasePose, fraction: float) -> BasePose:
    """Returns the pose at a fraction of the way from one to the other."""
    (x0, y0, yaw0), (x1, y1, yaw1) = first, second
    return x0 + fraction * (x1 - x0), y0 + fraction * (y1 - y0), yaw0 + fraction * wrapped(yaw1 - yaw0)
