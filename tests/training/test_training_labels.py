"""Labels of cells from a hand-made image, and from the simulator."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulation.houses.categories import CATEGORIES
from simulation.houses.seeds import house_seed
from simulation.tasks.object_nav import sample_episode
from simulation.twins.house_twin import StretchTwin, TwinOptions
from training.models.image_encoder import STRIDE
from training.perception.cell_labels import FAR_M, FLOOR, MIN_PIXELS, NEAR_M, OTHER, Labeller, cell_labels

MUG, BED = list(CATEGORIES).index("mug"), list(CATEGORIES).index("bed")


def empty(height: int = 16, width: int = 24) -> tuple[np.ndarray, np.ndarray]:
    return np.full((height, width), OTHER, np.int64), np.full((height, width), 2.0, np.float32)


def test_a_mug_is_in_its_cell_alone() -> None:
    classes, depth = empty()
    classes[9:12, 17:19] = MUG
    got = cell_labels(classes, depth).presence
    assert got.shape == (len(CATEGORIES), 2, 3)
    assert np.argwhere(got).tolist() == [[MUG, 1, 2]]


def test_a_few_pixels_do_not_count() -> None:
    classes, depth = empty()
    classes[0, : MIN_PIXELS - 1] = MUG
    classes[8, :MIN_PIXELS] = BED
    got = cell_labels(classes, depth).presence
    assert not got[MUG].any()
    assert got[BED, 1, 0]


def test_two_categories_share_a_cell() -> None:
    classes, depth = empty()
    classes[:4, :8], classes[4:8, :8] = MUG, BED
    got = cell_labels(classes, depth).presence
    assert got[MUG, 0, 0]
    assert got[BED, 0, 0]
    assert got.sum() == 2


def test_floor_is_a_share() -> None:
    classes, depth = empty()
    classes[8:, :] = FLOOR
    classes[8:12, :8] = MUG
    floor = cell_labels(classes, depth).geometry[2]
    assert floor.tolist() == [[0, 0, 0], [0.5, 1, 1]]
    assert floor.dtype == np.float16


def test_depths_are_logarithms_of_the_nearest_and_the_mean() -> None:
    classes, depth = empty()
    depth[:8, :8] = np.exp(1.0)
    depth[0, 0] = np.exp(0.5)
    nearest, mean, _ = cell_labels(classes, depth).geometry
    assert nearest[0, 0] == pytest.approx(0.5, abs=1e-3)
    assert mean[0, 0] == pytest.approx(1.0 - 0.5 / 64, abs=2e-3)
    assert nearest[1, 1] == mean[1, 1] == pytest.approx(np.log(2.0), abs=1e-3)


def test_depths_are_clipped() -> None:
    classes, depth = empty()
    depth[:8, :8], depth[:8, 8:16] = 0.0, np.inf
    nearest, mean, _ = cell_labels(classes, depth).geometry
    assert nearest[0, 0] == mean[0, 0] == np.float16(np.log(NEAR_M))
    assert nearest[0, 1] == mean[0, 1] == np.float16(np.log(FAR_M))


def test_cells_that_stick_out_count_what_is_in_the_image() -> None:
    classes, depth = empty(12, 20)  # a row and a column of cells are half outside
    classes[8:, :] = FLOOR
    depth[11, :] = 4.0
    got = cell_labels(classes, depth)
    assert got.geometry.shape == (3, 2, 3)
    assert got.geometry[2].tolist() == [[0, 0, 0], [1, 1, 1]]
    assert got.geometry[1, 1, 0] == pytest.approx((3 * np.log(2) + 5 * np.log(4)) / 8, abs=2e-3)  # the edge is repeated


@given(st.integers(1, 30), st.integers(1, 30), st.integers(0, 2**31))
def test_presence_equals_counting(height: int, width: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    classes = rng.integers(0, OTHER + 1, (height, width))
    got = cell_labels(classes, rng.uniform(0.1, 20, (height, width)).astype(np.float32))
    for row in range(got.presence.shape[1]):
        for column in range(got.presence.shape[2]):
            cell = classes[row * STRIDE : (row + 1) * STRIDE, column * STRIDE : (column + 1) * STRIDE]
            expected = [(cell == kind).sum() >= MIN_PIXELS for kind in range(len(CATEGORIES))]
            assert got.presence[:, row, column].tolist() == expected
            assert got.geometry[2, row, column] == pytest.approx((cell == FLOOR).mean(), abs=1e-3)
    assert (got.geometry[0] <= got.geometry[1] + 1e-2).all()


def test_the_simulators_labels_show_floor_and_a_target() -> None:
    with StretchTwin(TwinOptions(height=28, width=48)) as twin:
        twin.reset(sample_episode(house_seed("val", 0)))
        labeller = Labeller(twin)
        try:
            down = labeller.label("manipulation")
            ahead = labeller.label("navigation")
        finally:
            labeller.close()
        known = {list(CATEGORIES).index(one.category) for one in twin.house.objects}
    assert down.presence.shape == ahead.presence.shape == (15, 4, 6)
    assert max(down.geometry[2].max(), ahead.geometry[2].max()) > 0.5
    assert np.isfinite(ahead.geometry.astype(np.float32)).all()
    assert set(labeller.classes.tolist()) == known | {FLOOR, OTHER}
    assert not ahead.presence[[i for i in range(15) if i not in known]].any()
