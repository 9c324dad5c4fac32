"""The fake of the vendor's driver behaves as the vendor's: the same commands over the same topics."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest
from fake_stretch import FakeStretch, fake_stretch
from ferry_ros.drivers.stretch.link import StretchLink
from ferry_ros.fakes.stretch_mechanics import AXES, STOWED, Mechanics
from ros_graph import wait_until


@pytest.fixture(scope="module")
def fake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakeStretch]:
    with fake_stretch(tmp_path_factory.mktemp("stretch"), pace=3.0) as running:
        yield running


@pytest.fixture(scope="module")
def link(fake: FakeStretch) -> Iterator[StretchLink]:
    link = StretchLink(fake.namespace)
    link.spin()
    link.wait(-1, 5.0)
    yield link
    link.close()


def follows(link: StretchLink, mode: str, streaming: bool) -> None:
    link.ask(f"{'' if streaming else 'de'}activate_streaming_position", 3.0)
    wait_until(lambda: link.texts.get("mode") == mode and link.flags.get("is_streaming_position") == streaming)


def changes(what: Callable[[], float], for_s: float = 0.5) -> float:
    before = what()
    time.sleep(for_s)
    return abs(what() - before)


def test_a_velocity_counts_in_navigation_mode_only_and_is_forgotten(fake: FakeStretch, link: StretchLink) -> None:
    wait_until(lambda: link.texts.get("mode") == "position")
    link.send_velocity(0.2, 0.0)
    assert changes(lambda: link.odometry.pose[0]) == 0.0
    wait_until(lambda: "must be in navigation mode to receive a twist on cmd_vel" in fake.process.text())
    link.ask("switch_to_navigation_mode", 3.0)
    link.send_velocity(0.2, 0.0)
    wait_until(lambda: link.odometry.pose[0] > 0.03)
    time.sleep(1.2)  # 0.5 s, and the way to a stand
    assert changes(lambda: link.odometry.pose[0], 0.2) == 0.0
    assert link.odometry.pose[0] < 0.25


def test_a_pose_counts_while_streaming_only_and_is_clipped_in_silence(fake: FakeStretch, link: StretchLink) -> None:
    follows(link, "navigation", False)
    asked = {**STOWED, "joint_lift": 0.25, "joint_head_tilt": 5.0}
    link.send_pose(asked)
    assert changes(lambda: link.feedback.positions["joint_lift"], 0.3) == 0.0
    wait_until(lambda: "streaming position is False" in fake.process.text())
    follows(link, "navigation", True)
    link.send_pose(asked)
    wait_until(lambda: link.feedback.positions["joint_lift"] > 0.249)
    wait_until(lambda: link.feedback.positions["joint_head_tilt"] == pytest.approx(AXES["joint_head_tilt"].high))


def test_limits_are_reported_when_they_are_asked_for(link: StretchLink) -> None:
    ranges = link.limits(3.0)
    assert ranges["joint_lift"] == (0.0, 1.095)
    assert ranges["joint_gripper_finger_left"] == pytest.approx((-0.376, 0.301), abs=1e-3)


def test_a_runstop_stops_and_gives_the_mode_back(fake: FakeStretch, link: StretchLink) -> None:
    link.send_pose({**STOWED, "joint_lift": 1.0})
    wait_until(lambda: link.feedback.positions["joint_lift"] > 0.3)
    fake.runstop(True)
    wait_until(lambda: link.texts["mode"] == "runstopped" and link.flags["is_runstopped"])
    link.send_pose({**STOWED, "joint_lift": 1.0})
    assert changes(lambda: link.feedback.positions["joint_lift"], 0.3) == 0.0
    fake.runstop(False)
    wait_until(lambda: link.texts["mode"] == "navigation")
    assert changes(lambda: link.feedback.positions["joint_lift"], 0.3) == 0.0


def test_a_streamed_position_has_no_timeout_and_stopping_takes_the_grip_away(link: StretchLink) -> None:
    link.send_pose({**link.feedback.positions, "gripper_aperture": -0.05})
    wait_until(lambda: link.feedback.efforts["gripper_aperture"] < 0.0)  # it presses on the object, and goes on
    assert link.feedback.positions["gripper_aperture"] == pytest.approx(0.04, abs=1e-3)
    link.ask("stop_the_robot", 3.0)
    wait_until(lambda: link.feedback.efforts["gripper_aperture"] == 0.0)


def test_joints_take_the_time_of_real_ones() -> None:
    mechanics = Mechanics()
    mechanics.move_to("joint_lift", 0.3)
    took = 0.0
    while mechanics.positions["joint_lift"] < 0.2999 and took < 10.0:
        mechanics.advance(0.01)
        took += 0.01
    assert took == pytest.approx(0.1 / 0.095 + 0.095 / 0.15, abs=0.3)  # at its speed, and to gather and lose it


def test_the_base_gathers_speed_and_meets_the_wall() -> None:
    mechanics = Mechanics(wall_m=0.3)
    mechanics.wanted = (0.2, 0.0)
    mechanics.advance(0.1)
    assert mechanics.moving[0] == pytest.approx(0.04)  # 0.4 m/s^2
    for _ in range(300):
        mechanics.advance(0.01)
    assert mechanics.pose[0] == 0.3
