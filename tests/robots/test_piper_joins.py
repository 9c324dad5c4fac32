"""The Piper's driver over its fake's CAN bus: a chunk is joined on to the one that runs, and a stop ends both."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest
from hosts import wait_for
from piper_bus import FakeProcess

from robots.arms.action_chunks import POSE
from robots.command import Chunk
from robots.drivers.piper.driver import PiperRobot
from robots.robot import Sent

for module in ("piper_sdk", "can", "pinocchio"):
    pytest.importorskip(module, reason="the extras `piper` and `arm` are not installed")

UP = Chunk((*POSE, "gripper"), ((0.0, 0.0, 0.003, 0.0, 0.0, 0.0, 0.5),) * 20, 0.1, joins=True)


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


def test_it_goes_on_to_the_end_of_the_second(robot: PiperRobot) -> None:
    begun = height(robot)
    thread, got = started(robot)
    wait_for(lambda: height(robot) > begun + 0.01)
    seen = robot.observe()
    assert robot.join(UP, seen.stamp_ns).executed
    at_join = height(robot)
    thread.join(10.0)
    assert got[0].executed, got
    assert height(robot) - at_join == pytest.approx(0.06, abs=0.012), "20 rows from where it was seen"
    assert robot.join(UP, seen.stamp_ns).refused.startswith("late: ")


def test_a_stop_after_a_join_holds_it_where_it_is(robot: PiperRobot) -> None:
    begun = height(robot)
    down = Chunk(UP.names, ((0.0, 0.0, -0.003, 0.0, 0.0, 0.0, 0.5),) * 20, 0.1, joins=True)
    thread, got = started(robot)
    wait_for(lambda: height(robot) > begun + 0.006)
    assert robot.join(down, robot.observe().stamp_ns).executed
    robot.stop()
    thread.join(5.0)
    assert got[0].blocked == "stopped"
    stood = height(robot)
    assert robot.join(down, time.monotonic_ns()).refused.startswith("late: ")
    time.sleep(0.3)
    assert height(robot) == pytest.approx(stood, abs=0.002)
