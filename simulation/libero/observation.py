"""Observation of a policy in LIBERO."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class LiberoObservation:
    """Observation of a policy.

    Attributes:
        image: (S, S, 3) uint8 RGB, upright: LIBERO's own stand on their head, and published policies turn them.
        proprio: (8,) float32: the end effector's position [m], its rotation vector [rad], two finger positions [m];
            world frame.
    """

    image: npt.NDArray[np.uint8]
    proprio: npt.NDArray[np.float32]
