"""The decision of a policy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Decision:
    """A policy's answer to one observation.

    Attributes:
        stamp_ns: stamp of its observation, on the robot's clock.
        step: number of the decision in its episode, from 0.
        action: index of the chosen action in logit order, None for a chunk.
        name: name of the chosen action, empty for a chunk.
        probabilities: (number of actions,) float32 after masking; masked actions are exactly 0. None for a chunk.
        chunk: (horizon, n) float32, None for a discrete policy.
        valid_for_s: maximum age of the observation at which its execution may still start [s].
        timing_s: duration of each part [s], e.g. {"preprocess": ..., "inference": ..., "total": ...}.
    """

    stamp_ns: int
    step: int
    action: int | None = None
    name: str = ""
    probabilities: npt.NDArray[np.float32] | None = None
    chunk: npt.NDArray[np.float32] | None = None
    valid_for_s: float = 0.0
    timing_s: Mapping[str, float] = field(default_factory=dict)
