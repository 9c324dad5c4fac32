"""Perturbed twins: each axis changes what it names by as much as it says, and nothing else."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from robots.command import MoveBase, RotateBase
from simulation.episode import EpisodeSpec
from simulation.errors import EpisodeError
from simulation.perturbation import AXES, Perturbation
from simulation.tasks.object_nav import sample_episode
from simulation.twins.house_twin import StretchTwin, TwinOptions
from simulation.twins.perturbed_episode import PerturbedEpisode

EPISODE = sample_episode(3, 1)
GREY = np.full((84, 144, 3), 100, np.uint8)


@pytest.fixture(scope="module")
def twin() -> Iterator[StretchTwin]:
    with StretchTwin(TwinOptions(move_noise_m=0.0, turn_noise_rad=0.0)) as twin:
        yield twin


def images(twin: StretchTwin, perturb: str) -> np.ndarray:
    """Both cameras' images at the start, (2, height, width, 3) float."""
    twin.reset(replace(EPISODE, perturb=perturb))
    return np.stack(list(twin.observe().images.values())).astype(np.float64)


def episode(perturb: str, seed: int = 0) -> PerturbedEpisode:
    return PerturbedEpisode(Perturbation.parse(perturb), (seed,))


def test_nothing_that_draws_episodes_for_training_can_perturb_them() -> None:
    assert sample_episode(0).perturb == ""
    root = Path(__file__).parents[2]
    files = [path for room in ("simulation", "training") for path in (root / room).rglob("*.py")]
    own = [path for path in files if not {"libero", "vla"} & set(path.parts)]  # LIBERO-PRO's are of other scenes
    sets = {path.name for path in own if re.search(r"\bperturb *=|\.perturb\b", path.read_text(encoding="utf-8"))}
    assert sets == {"episode.py", "house_twin.py"}  # the field, and the twin that obeys it


def test_what_cannot_be_is_refused_by_name() -> None:
    assert str(Perturbation.parse("drive=1 camera_pitch=5")) == "drive=1 camera_pitch=5"
    for wrong in ("pitch=1", "drive", "drive=0", "drive=6", "drive=-1", "drive=1 drive=2"):
        with pytest.raises(ValueError, match=wrong.split("=")[0]):
            Perturbation.parse(wrong)


def test_an_episode_keeps_its_perturbation_and_is_as_before_without() -> None:
    perturbed = replace(EPISODE, perturb="drive=2")
    assert EpisodeSpec.from_json(perturbed.to_json()) == perturbed
    assert "perturb" not in EPISODE.to_json()
    with pytest.raises(EpisodeError, match="speed"):
        EpisodeSpec.from_json({**EPISODE.to_json(), "perturb": "speed=2"})


@pytest.mark.parametrize("name", [name for name in AXES if name not in ("drive", "turn", "motion_noise")])
def test_each_axis_of_what_is_seen_changes_the_images_more_with_its_severity(twin: StretchTwin, name: str) -> None:
    plain = images(twin, "")
    little, much = (np.abs(images(twin, f"{name}={severity}") - plain).mean() for severity in (1, 5))
    assert 0.1 < little < much
    assert np.array_equal(images(twin, f"{name}=5"), images(twin, f"{name}=5"))
    assert np.array_equal(images(twin, ""), plain)


def test_wheels_that_slip_take_another_way_than_was_asked(twin: StretchTwin) -> None:
    for perturb, move in (("drive=5", MoveBase(0.2)), ("turn=5", RotateBase(math.radians(30)))):
        twin.reset(replace(EPISODE, perturb=perturb))
        x, y, yaw = twin.pose
        assert twin.execute(move).executed
        there = twin.pose
        if isinstance(move, MoveBase):
            factor = math.hypot(there[0] - x, there[1] - y) / move.distance_m
        else:
            factor = abs((there[2] - yaw + math.pi) % (2 * math.pi) - math.pi) / move.angle_rad
        assert min(abs(factor - 0.8), abs(factor - 1.2)) < 1e-6


def test_the_amounts_are_those_of_the_table() -> None:
    assert episode("noise=2").image(GREY).std() == pytest.approx(10.0, rel=0.05)
    stops = abs(math.log2(episode("exposure=2").image(GREY).mean() / 100))
    assert stops == pytest.approx(0.6, abs=0.02)
    red, green, blue = episode("colour=5").image(GREY).reshape(-1, 3).mean(axis=0)
    assert (green, abs(red - 100), red + blue) == (100, 30, 200)
    assert episode("motion_noise=3").motion_noise == 4.0
    assert episode("").image(GREY) is GREY


def test_directions_are_drawn_for_each_episode() -> None:
    factors = {round(episode("drive=1", seed).drive, 6) for seed in range(20)}
    assert factors == {0.96, 1.04}
