"""Pre-training of the CNN on frames made by hand, and frames of the simulator on disk."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from small_policies import TINY

from simulation.houses.categories import CATEGORIES
from training.data.features import encoder_path
from training.errors import CheckpointError, ConfigError, Diverged
from training.models.image_encoder import CnnEncoder
from training.perception.cell_labels import CellLabels
from training.perception.labelled_images import FrameCollector, Frames, frames_path, load_frames, write_frames
from training.perception.pretrain import (
    MOST_WEIGHT,
    PerceptionOptions,
    _batch,
    fit,
    losses,
    main,
    positive_weights,
    score,
    table,
)

KINDS = len(CATEGORIES)
MUG = list(CATEGORIES).index("mug")
OPTIONS = PerceptionOptions(epochs=8, batch=8, lr=1e-2, threads=1)


def red_mugs(count: int, seed: int = 0) -> Frames:
    """Grey images in which a cell with a mug is red."""
    rng = np.random.default_rng(seed)
    images = rng.integers(60, 140, (count, 28, 48, 3)).astype(np.uint8)
    presence = np.zeros((count, KINDS, 4, 6), bool)
    presence[:, MUG] = rng.random((count, 4, 6)) < 0.3
    red = presence[:, MUG].repeat(8, axis=1)[:, :28].repeat(8, axis=2)
    images[red] = (250, 20, 20)
    geometry = np.zeros((count, 3, 4, 6), np.float16)
    return {"images": images, "presence": np.packbits(presence, axis=1), "geometry": geometry}


def test_it_learns_that_mugs_are_red() -> None:
    torch.manual_seed(0)
    encoder = CnnEncoder(TINY.image)
    fit(encoder, red_mugs(96), OPTIONS)
    scores = score(encoder, red_mugs(16, seed=1))
    assert scores["mug"]["recall"] > 0.8
    assert scores["mug"]["precision"] > 0.8
    assert scores["bed"]["cells"] == 0
    assert not any(one.requires_grad for one in encoder.parameters())
    assert not encoder.training


def test_a_loss_that_is_no_number_stops_it() -> None:
    torch.manual_seed(0)
    frames = red_mugs(16)
    frames["geometry"][:] = np.nan
    with pytest.raises(Diverged, match="loss at step 0: got nan, expected a number"):
        fit(CnnEncoder(TINY.image), frames, OPTIONS)


def test_rare_categories_weigh_more() -> None:
    weight = positive_weights(red_mugs(40)).flatten()
    assert weight.shape == (KINDS,)
    assert weight[MUG].item() == pytest.approx((0.7 / 0.3) ** 0.5, rel=0.1)
    assert weight[0].item() == MOST_WEIGHT  # never seen


def test_labels_are_mirrored_with_their_images() -> None:
    frames = red_mugs(64)
    images, presence, geometry = _batch(frames, np.arange(64), torch.Generator().manual_seed(0))
    assert images.shape == (64, 28, 48, 3)
    assert geometry.shape == (64, 3, 4, 6)
    redness = (images[..., 0] - images[..., 2])[:, :24].unflatten(1, (3, 8)).unflatten(3, (6, 8)).mean(dim=(2, 4))
    mug = presence[:, MUG, :3] > 0.5
    assert redness[mug].mean() > 100 > redness[~mug].mean() + 50
    original = np.unpackbits(frames["presence"], axis=1, count=KINDS)[:, MUG]
    kept = sum(np.array_equal(one, other) for one, other in zip(original, presence[:, MUG].numpy()))
    assert 16 < kept < 48  # about half


def test_the_loss_of_a_perfect_encoder_is_small() -> None:
    frames = red_mugs(4)
    presence = torch.from_numpy(np.unpackbits(frames["presence"], axis=1, count=KINDS)).float()

    class Perfect(CnnEncoder):
        """Knows the answer."""

        def cells(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
            shape = torch.zeros(4, 3, 4, 6)
            shape[:, 2] = -20.0
            return images, 40 * presence - 20, shape

    images = torch.from_numpy(frames["images"])
    loss = losses(Perfect(TINY.image), positive_weights(frames), images, presence, torch.zeros(4, 3, 4, 6))
    assert loss.item() < 1e-3


def test_frames_come_back_as_they_were_written(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (28, 48, 3), dtype=np.uint8) for _ in range(5)]
    labels = [CellLabels(rng.random((KINDS, 4, 6)) < 0.2, rng.random((3, 4, 6)).astype(np.float16)) for _ in range(5)]
    for number, chosen in enumerate((slice(0, 2), slice(2, 5))):
        write_frames(frames_path(tmp_path, number), images[chosen], labels[chosen])
    got = load_frames([frames_path(tmp_path, 0), frames_path(tmp_path, 1)])
    assert np.array_equal(got["images"], np.stack(images))
    presence = np.unpackbits(got["presence"], axis=1, count=KINDS)
    assert np.array_equal(presence.astype(bool), np.stack([one.presence for one in labels]))
    assert np.array_equal(got["geometry"], np.stack([one.geometry for one in labels]))


def test_a_worker_makes_labelled_frames_of_the_simulator(tmp_path: Path) -> None:
    heard: list[int] = []
    count = FrameCollector(tmp_path, TINY, seed=0, count=4)(0, heard.append)
    frames = load_frames([frames_path(tmp_path, 0)])
    assert count >= 4
    assert sum(heard) == count
    assert frames["images"].shape == (2 * count, 28, 48, 3)  # both cameras
    assert frames["presence"].shape == (2 * count, 2, 4, 6)
    assert frames["geometry"].shape == (2 * count, 3, 4, 6)
    assert 0 < frames["geometry"][:, 2].astype(np.float32).mean() < 1  # some floor, not only floor


def test_scores_make_a_table() -> None:
    scores = {name: {"cells": 3.0, "precision": 0.5, "recall": 0.25} for name in CATEGORIES}
    lines = table({**scores, "depth": {"near": 0.1, "mean": 0.2}}).splitlines()
    assert len(lines) == KINDS + 2
    assert lines[1].split()[-3:] == ["3", "0.50", "0.25"]
    assert lines[-1] == "error of log depth: nearest 0.100, mean 0.200"


def test_dinov2_is_not_trained() -> None:
    with pytest.raises(ConfigError, match="size: got small_3"):
        main(["--size", "small_3"])


def test_an_encoder_that_is_there_is_not_made_again(tmp_path: Path) -> None:
    encoder_path(tmp_path).write_bytes(b"what features were made with")
    with pytest.raises(CheckpointError, match=r"encoder.pt: the checkpoint exists already"):
        main(["--run", str(tmp_path)])
    assert encoder_path(tmp_path).read_bytes() == b"what features were made with"
