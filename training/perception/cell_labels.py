"""Labels of an image's cells from the simulator's ground truth: the targets of the CNN encoder's pre-training."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from simulation.houses.categories import CATEGORIES
from simulation.rendering.renderer import Renderer
from simulation.twins.house_twin import Twin
from training.models.image_encoder import STRIDE

FLOOR, OTHER = len(CATEGORIES), len(CATEGORIES) + 1
NEAR_M, FAR_M = 0.2, 12.0
"""Depth is clipped to this range before its logarithm."""

MIN_PIXELS = 3
"""Pixels of a cell that must show a category for it to count as present."""

_FLOOR_NAMES = ("floor_", "rug_")
_NUMBERS = {name: i for i, name in enumerate(CATEGORIES)}


@dataclass(frozen=True)
class CellLabels:
    """Labels of one image.

    Attributes:
        presence: (15, h, w) bool, whether a category is seen in a cell.
        geometry: (3, h, w) float16: log of the nearest and of the mean depth [m], fraction of floor.
    """

    presence: npt.NDArray[np.bool_]
    geometry: npt.NDArray[np.float16]


class Labeller:
    """Labels a twin's current images; one renderer per house: close it before the next house."""

    def __init__(self, twin: Twin) -> None:
        self.twin = twin
        self.classes = geom_classes(twin)
        self.renderer = Renderer(twin.world.model, twin.options.height, twin.options.width)

    def label(self, camera: str) -> CellLabels:
        """Labels one camera's image."""
        data = self.twin.world.data
        ids = self.renderer.segmentation(data, camera)
        classes = np.where(ids < 0, OTHER, self.classes[ids])
        return cell_labels(classes, self.renderer.depth(data, camera))

    def close(self) -> None:
        """Frees the renderer."""
        self.renderer.close()


def geom_classes(twin: Twin) -> npt.NDArray[np.int64]:
    """(ngeom,) class of each geom: a category's number, FLOOR or OTHER."""
    model = twin.world.model
    classes = np.full(model.ngeom, OTHER, np.int64)
    for thing in twin.house.objects:
        classes[model.geom_bodyid == model.body(thing.name).id] = _NUMBERS[thing.category]
    for geom in range(model.ngeom):
        if model.geom(geom).name.startswith(_FLOOR_NAMES):
            classes[geom] = FLOOR
    return classes


def cell_labels(classes: npt.NDArray[np.int64], depth_m: npt.NDArray[np.float32]) -> CellLabels:
    """Labels the 8-pixel cells of an image, from each pixel's class (H, W) and depth (H, W) [m]."""
    height, width = classes.shape
    rows, columns = -(-height // STRIDE), -(-width // STRIDE)
    margin = ((0, rows * STRIDE - height), (0, columns * STRIDE - width))
    cell = np.arange(rows).repeat(STRIDE)[:, None] * columns + np.arange(columns).repeat(STRIDE)
    kinds = OTHER + 1
    index = cell[:height, :width] * kinds + classes
    counts = np.bincount(index.ravel(), minlength=rows * columns * kinds).reshape(rows, columns, kinds)
    log_depth = np.pad(np.log(np.clip(depth_m, NEAR_M, FAR_M)), margin, mode="edge")
    blocks = log_depth.reshape(rows, STRIDE, columns, STRIDE)
    floor = counts[..., FLOOR] / counts.sum(axis=-1)
    geometry = np.stack([blocks.min(axis=(1, 3)), blocks.mean(axis=(1, 3)), floor]).astype(np.float16)
    return CellLabels(np.moveaxis(counts[..., :FLOOR] >= MIN_PIXELS, -1, 0), geometry)
