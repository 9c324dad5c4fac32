from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from ferry_ros.observation_sync import ObservationSync

from robots.embodiments.stretch_re1 import STRETCH_RE1
from robots.errors import SpecError
from robots.fakes.kinematic import FakeRobot
from robots.observation import Observation
from robots.spec import CameraSpec

BODY = STRETCH_RE1.with_cameras(CameraSpec("navigation", 2, 3, 59.0), CameraSpec("manipulation", 2, 3, 59.0))
STATE = {"joints": np.zeros(6, np.float32), "hand": np.zeros(1, np.float32)}


def sample_image(value: int) -> np.ndarray:
    return np.full((2, 3, 3), value, np.uint8)


def test_an_observation_is_complete_when_all_of_one_stamp_are_there() -> None:
    parts = ObservationSync(BODY)
    assert parts.add_image(5, "navigation", sample_image(1)) is None
    assert parts.add_state(5, STATE) is None
    whole = parts.add_image(5, "manipulation", sample_image(2))
    assert isinstance(whole, Observation)
    assert whole.stamp_ns == 5
    assert {name: int(image[0, 0, 0]) for name, image in whole.images.items()} == {"navigation": 1, "manipulation": 2}
    assert (whole.state["joints"] == STATE["joints"]).all()


def test_parts_of_different_stamps_are_never_mixed() -> None:
    parts = ObservationSync(BODY)
    parts.add_image(5, "navigation", sample_image(1))
    parts.add_state(5, STATE)
    assert parts.add_image(6, "manipulation", sample_image(2)) is None
    assert parts.add_state(6, STATE) is None
    whole = parts.add_image(6, "navigation", sample_image(3))
    assert whole is not None
    assert int(whole.images["navigation"][0, 0, 0]) == 3


def test_what_never_becomes_complete_is_given_up() -> None:
    parts = ObservationSync(BODY, remembered=2)
    for stamp in range(4):
        parts.add_image(stamp, "navigation", sample_image(stamp))
    parts.add_image(0, "manipulation", sample_image(0))
    assert parts.add_state(0, STATE) is None, "the first image was forgotten"


def test_an_image_of_the_wrong_size_is_refused() -> None:
    with pytest.raises(SpecError, match=r"image of camera 'navigation': got shape \(4, 3, 3\)"):
        ObservationSync(BODY).add_image(1, "navigation", np.zeros((4, 3, 3), np.uint8))


def test_the_fakes_observations_go_through_whole() -> None:
    with FakeRobot() as robot:
        seen = robot.observe()
        parts = ObservationSync(robot.spec)
        parts.add_state(seen.stamp_ns, seen.state)
        got = [parts.add_image(seen.stamp_ns, name, image) for name, image in seen.images.items()]
    assert got[0] is None
    assert got[1] is not None
    assert all((got[1].images[name] == image).all() for name, image in seen.images.items())


def test_a_body_without_cameras_is_complete_with_its_state() -> None:
    blind = replace(STRETCH_RE1, cameras=())
    state = {group: np.zeros(len(spec), np.float32) for group, spec in blind.state.items()}
    complete = ObservationSync(blind).add_state(5, state)
    assert complete is not None
    assert (complete.stamp_ns, dict(complete.images)) == (5, {})
