"""The LoCoBot twin keeps the rules of every robot."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from robots.conformance import CHECKS, Check, Options, Subject, examine, name_of
from simulation.robot_models.locobot import LOCOBOT_EYE
from simulation.tasks.object_nav import sample_episode
from simulation.twins.locobot import LocobotOptions, LocobotTwin

SLOTS = "move_arm_up:joint_head_tilt:0.06,move_arm_down:joint_head_tilt:-0.06"
EPISODE = sample_episode(3, 1, eye=LOCOBOT_EYE)
OPTIONS = Options(settle_s=0.02, lag_s=0.0, pose_period_s=0.11, joint_step=0.03, base_step_m=0.06, long_step=0.31)
"""The twin's pose changes every 0.02 m: every 0.1 s at its top speed."""


def twin(speed: float = 1.0) -> LocobotTwin:
    options = LocobotOptions(
        42, 72, move_noise_m=0.0, turn_noise_rad=0.0, real_time=True, speed=speed, camera_slots=SLOTS
    )
    made = LocobotTwin(options)
    made.reset(EPISODE)
    return made


@pytest.fixture(scope="module")
def subject() -> Iterator[Subject]:
    with Subject(twin, OPTIONS, slow=lambda: twin(0.5)) as shared:
        yield shared


@pytest.mark.parametrize("check", CHECKS, ids=name_of)
def test_conformance_of_the_locobot_twin(check: Check, subject: Subject) -> None:
    examine(check, subject)
