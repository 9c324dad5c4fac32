"""Specs of observations and actions: frozen, checkable, lossless in JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from robots.errors import SpecError
from robots.structure import Place, build

U8Image = npt.NDArray[np.uint8]
F32Vector = npt.NDArray[np.float32]


@dataclass(frozen=True)
class CameraSpec:
    """A camera on a robot.

    `yaw_deg` is the viewing direction in the base frame, counter-clockwise positive (REP-103): 0 looks forward,
    -90 to the robot's right. `pitch_deg` is positive when the camera looks down. `None` where it can move.
    """

    name: str
    height: int
    width: int
    vertical_fov_deg: float
    pitch_deg: float | None = None
    yaw_deg: float | None = None
    height_m: float | None = None

    def __post_init__(self) -> None:
        if self.height < 1 or self.width < 1:
            raise SpecError(f"camera '{self.name}' size", (self.height, self.width), "at least (1, 1)")
        if not 0.0 < self.vertical_fov_deg < 180.0:
            raise SpecError(f"camera '{self.name}' vertical field of view", self.vertical_fov_deg, "(0, 180) degrees")

    @property
    def aspect(self) -> float:
        """Width over height."""
        return self.width / self.height

    def check(self, image: npt.NDArray[Any]) -> None:
        """Raises SpecError unless `image` is (height, width, 3) uint8."""
        check_image(f"image of camera '{self.name}'", image, (self.height, self.width))


def check_image(what: str, image: npt.NDArray[Any], size: tuple[int, int]) -> None:
    """Raises SpecError unless `image` is (*size, 3) uint8."""
    if image.dtype != np.uint8:
        raise SpecError(what, f"dtype {image.dtype}", "dtype uint8")
    if image.shape != (*size, 3):
        raise SpecError(what, f"shape {image.shape}", f"shape {(*size, 3)}")


OVERSHOOT = 0.05
"""Fraction of its range by which a target in a chunk may lie beyond it: regression overshoots; the robot clips it."""


@dataclass(frozen=True)
class VectorSpec:
    """Named numbers with units and inclusive bounds; the order of `names` is the order of the vector."""

    names: tuple[str, ...]
    units: tuple[str, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]

    def __post_init__(self) -> None:
        sizes = {len(self.names), len(self.units), len(self.low), len(self.high)}
        if len(sizes) != 1:
            raise SpecError("vector spec lengths", sorted(sizes), "one length for names, units, low and high")
        if len(set(self.names)) != len(self.names):
            raise SpecError("vector spec names", self.names, "no name twice")
        for name, low, high in zip(self.names, self.low, self.high):
            if not low <= high:
                raise SpecError(f"bounds of '{name}'", (low, high), "low <= high")

    def __len__(self) -> int:
        return len(self.names)

    def check(self, vector: npt.NDArray[Any], what: str = "vector", overshoot: float = 0.0) -> None:
        """Raises SpecError unless `vector` has shape (n,), is finite and lies within the bounds.

        A value may lie beyond them by the fraction `overshoot` of their distance.
        """
        if vector.shape != (len(self),):
            raise SpecError(what, f"shape {vector.shape}", f"shape {(len(self),)} ({', '.join(self.names)})")
        for name, value, low, high in zip(self.names, vector.tolist(), self.low, self.high):
            slack = overshoot * (high - low)
            if not math.isfinite(value) or not low - slack <= value <= high + slack:
                raise SpecError(f"{what} '{name}'", value, f"[{low}, {high}]")


EMPTY_VECTOR = VectorSpec((), (), (), ())


@dataclass(frozen=True)
class DiscreteActions:
    """One choice out of `names`; the order is the order of the logits."""

    names: tuple[str, ...]
    kind: ClassVar[str] = "discrete"

    def __post_init__(self) -> None:
        if not self.names or len(set(self.names)) != len(self.names):
            raise SpecError("action names", self.names, "at least one name and no name twice")

    def index(self, name: str) -> int:
        """The logit index of `name`; SpecError when there is no such action."""
        if name not in self.names:
            raise SpecError("action", repr(name), f"one of {', '.join(self.names)}")
        return self.names.index(name)


@dataclass(frozen=True)
class ContinuousActions:
    """A chunk of `horizon` vectors, one every `period_s` seconds, each described by `vector`. Shape (horizon, n).

    `execute_rows` is the number of its first rows that are executed before the next chunk is asked for; None for all.

    With `joins` the next chunk is asked for while one runs, and joined on to it without a pause: the rows count from
    the observation, those that are over when the answer comes are dropped, and meanwhile the robot plays rows beyond
    `execute_rows`, for `latency_s` at most (None: the policy's control period). A robot that cannot join chunks ends
    each at rest.
    """

    vector: VectorSpec
    horizon: int
    period_s: float
    execute_rows: int | None = None
    joins: bool = False
    latency_s: float | None = None
    kind: ClassVar[str] = "continuous"

    def __post_init__(self) -> None:
        if self.horizon < 1 or self.period_s <= 0:
            raise SpecError("chunk", (self.horizon, self.period_s), "horizon >= 1 and period_s > 0")
        if self.execute_rows is not None and not 1 <= self.execute_rows <= self.horizon:
            raise SpecError("chunk execute_rows", self.execute_rows, f"1 to {self.horizon}, the horizon, or null")
        if self.latency_s is not None and not 0.0 < self.latency_s < math.inf:
            raise SpecError("chunk latency_s", self.latency_s, "a finite number above 0, or null")

    def rows_sent(self, control_period_s: float) -> int:
        """Number of first rows that a robot is given: those to execute, and with `joins` those to play meanwhile."""
        executed = self.execute_rows or self.horizon
        if not self.joins:
            return executed
        latency_s = control_period_s if self.latency_s is None else self.latency_s
        return min(self.horizon, executed + math.ceil(latency_s / self.period_s - 1e-9))


Actions = DiscreteActions | ContinuousActions


@dataclass(frozen=True)
class CameraInput:
    """An image a policy takes: (height, width, 3) uint8 RGB seen with `vertical_fov_deg`.

    A robot's camera image is cropped at its centre to this aspect ratio and resized by area (`robots.view`).
    """

    name: str
    height: int
    width: int
    vertical_fov_deg: float
    fov_tolerance_deg: float = 5.0


@dataclass(frozen=True)
class PolicySpec:
    """The half of the sim-to-real contract that a policy states; `Embodiment` is the other half.

    `state` are the named numbers the policy takes from the robot (for SPOC the in-hand flag).
    `horizon` is the number of decisions in the longest episode, `control_period_s` the time one decision is given.
    """

    cameras: tuple[CameraInput, ...]
    state: VectorSpec
    actions: Actions
    horizon: int
    control_period_s: float

    def __post_init__(self) -> None:
        names = [camera.name for camera in self.cameras]
        if len(set(names)) != len(names):
            raise SpecError("policy cameras", names, "no name twice")
        if self.horizon < 1 or self.control_period_s <= 0:
            raise SpecError("policy", (self.horizon, self.control_period_s), "horizon >= 1 and control_period_s > 0")

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values; `from_json` gives back an equal spec."""
        return {**asdict(self), "actions": {"kind": self.actions.kind, **asdict(self.actions)}}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> PolicySpec:
        """Inverse of `to_json`; SpecError names a field that is missing, unknown or wrong."""
        spec: PolicySpec = build(cls, data, Place("policy spec"))
        return spec


def vector_from_json(data: Mapping[str, Sequence[Any]]) -> VectorSpec:
    """A VectorSpec from the JSON form of `dataclasses.asdict`."""
    return VectorSpec(**{field: tuple(data[field]) for field in ("names", "units", "low", "high")})
