"""Perturbations of a simulated robot: how it differs from the one that its policy was trained on.

They stand in for reality: cameras that sit otherwise, other light, other colours, wheels that slip. Each axis has a
severity from 1 to 5 (as ImageNet-C has, Hendrycks and Dietterich, ICLR 2019); directions are drawn for each episode.
The latency between observation and action is not among them: see `ferry evaluate --delay-s`. What a perturbation
does to a twin is in `simulation.twins.perturbed_episode`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

MOST = 5
"""The highest severity."""


@dataclass(frozen=True)
class Axis:
    """One way to differ.

    Attributes:
        unit: amount of severity 1; that of severity n is n times as much.
        meaning: what is changed by how much, for the report.
    """

    unit: float
    meaning: str


AXES: Mapping[str, Axis] = MappingProxyType(
    {
        "camera_pitch": Axis(1.0, "each camera is tilted by 1 degree, up or down"),
        "camera_position": Axis(0.01, "each camera is moved by 1 cm in a random direction"),
        "lens": Axis(0.02, "each camera's field of view is wider or narrower by 2 %"),
        "exposure": Axis(0.3, "images are brighter or darker by 0.3 f-stops"),
        "colour": Axis(0.06, "red is stronger and blue weaker by 6 %, or the other way round"),
        "noise": Axis(5.0, "every pixel's channels have noise with a standard deviation of 5 of 255"),
        "blur": Axis(1 / 360, "images are blurred by a Gaussian of 1/360 of their width"),
        "light": Axis(0.15, "the scene's lights are weaker by 15 %"),
        "paint": Axis(0.15, "every surface's colour is replaced by a random one by 15 %"),
        "drive": Axis(0.04, "the base drives 4 % too far or too short"),
        "turn": Axis(0.04, "the base turns 4 % too far or too short"),
        "motion_noise": Axis(1.0, "the noise of every motion of the base is 2, 3, ... times as large"),
    }
)
"""name -> axis. The units are guesses of what a robot in a home meets at severity 1 to 2; 5 is beyond it."""


@dataclass(frozen=True)
class Perturbation:
    """Severities of axes; those that are not named are 0.

    Attributes:
        severities: name of an axis -> 1 to 5.
    """

    severities: Mapping[str, int]

    @classmethod
    def parse(cls, text: str) -> Perturbation:
        """Reads "camera_pitch=2 exposure=1"; empty is none. ValueError names what is wrong and what is known."""
        severities: dict[str, int] = {}
        for word in text.split():
            name, _, value = word.partition("=")
            if name not in AXES:
                raise ValueError(f"{name!r}, expected one of {', '.join(AXES)}")
            if not value.isdecimal() or not 1 <= int(value) <= MOST:
                raise ValueError(f"{word!r}, expected {name}=1 to {name}={MOST}")
            if name in severities:
                raise ValueError(f"{name} twice, expected each axis once")
            severities[name] = int(value)
        return cls(severities)

    def __str__(self) -> str:
        """As `parse` reads it."""
        return " ".join(f"{name}={severity}" for name, severity in self.severities.items())

    def amount(self, name: str) -> float:
        """How much of an axis; 0 where it is not perturbed."""
        return AXES[name].unit * self.severities.get(name, 0)
