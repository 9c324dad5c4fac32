"""The Piper's driver over its fake's CAN bus: a chunk is joined on to the one that runs, and a stop ends both."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest
from hosts import wait_for
from piper_bus import FakeProcess

from robots.arms.action_chunks import POSE
from robots.command import Chunk, JointTarget
from robots.drivers.piper.driver import PiperRobot
from robots.embodiments.piper import HOME_RAD
from robots.embodiments.piper_urdf import ARM
from robots.observation import Observation
from robots.robot import Sent

for module in ("piper_sdk", "can", "pinocchio"):
    pytest.importorskip(module, reason="the extras `piper` and `arm` are not installed")

UP = Chunk((*POSE, "gripper"), ((0.0, 0.0, 0.003, 0.0, 0.0, 0.0, 0.5),) * 20, 0.1, joins=True)

HOME = JointTarget(ARM, HOME_RAD)
TRIES = 4


@pytest.fixture(scope="module")
def robot() -> Iterator[PiperRobot]:
    with FakeProcess() as fake, PiperRobot(fake.options(speed=0.3)) as connected:
        yield connected


def height(robot: PiperRobot) -> float:
    return float(robot.observe().state["tip"][2])


def started(robot: PiperRobot) -> tuple[threading.Thread, list[Sent]]:
    got: list[Sent] = []
    thread = threading.Thread(target=lambda: got.append(robot.execute(UP)))
    thread.start()
    wait_for(lambda: robot.following or got)
    return thread, got


def joined(robot: PiperRobot, chunk: Chunk) -> tuple[threading.Thread, list[Sent], Observation]:
    """A motion that `chunk` was joined on to; again where this process was kept waiting for too long meanwhile."""
    for _ in range(TRIES):
        robot.execute(HOME)
        thread, got = started(robot)
        time.sleep(0.2)
        seen = robot.observe()
        sent = robot.join(chunk, seen.stamp_ns)
        if sent.executed:
            return thread, got, seen
        assert sent.refused.startswith("late: "), sent
        robot.stop()
        thread.join(5.0)
    pytest.skip("the machine is too busy for any join")


def test_it_goes_on_to_the_end_of_the_second(robot: PiperRobot) -> None:
    thread, got, seen = joined(robot, UP)
    thread.join(10.0)
    if "asleep" in got[0].blocked:
        pytest.skip(got[0].blocked)
    assert got[0].executed, got
    assert height(robot) - seen.state["tip"][2] == pytest.approx(0.06, abs=0.012), "20 rows from where it was seen"
    assert robot.join(UP, seen.stamp_ns).refused.startswith("late: ")


def test_a_stop_after_a_join_holds_it_where_it_is(robot: PiperRobot) -> None:
    down = Chunk(UP.names, ((0.0, 0.0, -0.003, 0.0, 0.0, 0.0, 0.5),) * 20, 0.1, joins=True)
    thread, got, _ = joined(robot, down)
    robot.stop()
    thread.join(5.0)
    assert got[0].blocked
    at_rest = height(robot)
    assert robot.join(down, time.monotonic_ns()).refused.startswith("late: ")
    time.sleep(0.3)
    assert height(robot) == pytest.approx(at_rest, abs=0.002)
