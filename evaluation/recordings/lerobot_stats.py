"""Statistics of a LeRobotDataset's features: of each episode, and of all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

QUANTILES = {"q01": 0.01, "q10": 0.10, "q50": 0.50, "q90": 0.90, "q99": 0.99}
IMAGES_OF_AN_EPISODE = 20
"""Images of each camera that an episode's statistics are computed from, evenly spread."""

PIXELS_APART = 4

Stats = dict[str, npt.NDArray[Any]]


def stats(values: npt.NDArray[Any], count: int) -> Stats:
    """Statistics over the first axis of (N, n) values, which stand for `count` frames."""
    rows = values.astype(np.float64)
    made: Stats = {"min": rows.min(0), "max": rows.max(0), "mean": rows.mean(0), "std": rows.std(0)}
    made["count"] = np.array([count], np.int64)
    return made | dict(zip(QUANTILES, np.quantile(rows, list(QUANTILES.values()), axis=0)))


def image_sample(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """(N, 3) colours in [0, 1] of an image's pixels, thinned out."""
    return (image[::PIXELS_APART, ::PIXELS_APART].reshape(-1, 3) / np.float32(255)).astype(np.float32)


def joined(parts: Sequence[Stats]) -> Stats:
    """Statistics of several episodes together; their quantiles are means, weighted by the frames."""
    counts = np.array([int(part["count"][0]) for part in parts], np.float64)
    weights = counts / counts.sum()

    def mean(name: str) -> npt.NDArray[np.float64]:
        total: npt.NDArray[np.float64] = np.tensordot(weights, np.stack([part[name] for part in parts]), 1)
        return total

    middle = mean("mean")
    spread = np.stack([part["std"] ** 2 + (part["mean"] - middle) ** 2 for part in parts])
    return {
        "min": np.min([part["min"] for part in parts], axis=0),
        "max": np.max([part["max"] for part in parts], axis=0),
        "mean": middle,
        "std": np.sqrt(np.tensordot(weights, spread, 1)),
        "count": np.array([int(counts.sum())], np.int64),
        **{name: mean(name) for name in QUANTILES},
    }


def as_json(made: Mapping[str, npt.NDArray[Any]], is_image: bool) -> dict[str, Any]:
    """Statistics as lists; an image's numbers are (3, 1, 1)."""
    return {
        name: (value.reshape(3, 1, 1) if is_image and name != "count" else value).tolist()
        for name, value in made.items()
    }
