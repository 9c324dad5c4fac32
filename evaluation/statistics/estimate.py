"""An estimate with its confidence interval."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Estimate:
    """A value with its confidence interval, and the number of trials (or pairs of trials) behind it."""

    value: float
    low: float
    high: float
    n: int


def z_value(confidence: float) -> float:
    """Returns the two-sided standard normal quantile, e.g. 1.96 for 0.95; ValueError outside (0, 1)."""
    return NormalDist().inv_cdf(0.5 + expect_confidence(confidence) / 2)


def expect_confidence(confidence: float) -> float:
    """Returns a confidence level; ValueError outside (0, 1)."""
    if not 0.0 < confidence < 1.0:
        raise ValueError(f"confidence: got {confidence}, expected between 0 and 1")
    return confidence
