"""The Stretch twin keeps the rules of every robot."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from robots.conformance import CHECKS, Check, Options, Subject, examine, name_of
from simulation.tasks.object_nav import sample_episode
from simulation.twins.house_twin import StretchTwin, TwinOptions

EPISODE = sample_episode(3, 1)
OPTIONS = Options(settle_s=0.02, lag_s=0.0, pose_period_s=0.07, joint_step=0.03, base_step_m=0.06, long_step=0.31)
"""The twin's pose changes every 0.02 m: every 0.07 s at its top speed."""


def twin(speed: float = 1.0) -> StretchTwin:
    options = TwinOptions(42, 72, move_noise_m=0.0, turn_noise_rad=0.0, real_time=True, speed=speed)
    made = StretchTwin(options)
    made.reset(EPISODE)
    return made


@pytest.fixture(scope="module")
def subject() -> Iterator[Subject]:
    with Subject(twin, OPTIONS, slow=lambda: twin(0.5)) as shared:
        yield shared


@pytest.mark.parametrize("check", CHECKS, ids=name_of)
def test_conformance_of_the_stretch_twin(check: Check, subject: Subject) -> None:
    examine(check, subject)
