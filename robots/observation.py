"""Observation of a robot."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from robots.spec import F32Vector, U8Image


@dataclass(frozen=True)
class Observation:
    """Images and state of a robot at one moment.

    Attributes:
        stamp_ns: when it was sensed, on the robot's monotonic clock (behind ROS topics: in ROS time). It rises with
            each observation, and a decision made from it carries the same stamp.
        images: camera name -> (H, W, 3) uint8 RGB.
        state: group name -> float32 vector in the order of the embodiment's spec, e.g. {"joints": (n,), "hand": (1,)}.
        instruction: the task in words; empty when there is none.
    """

    stamp_ns: int
    images: Mapping[str, U8Image]
    state: Mapping[str, F32Vector] = field(default_factory=dict)
    instruction: str = ""
