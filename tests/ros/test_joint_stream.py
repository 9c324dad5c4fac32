"""Streamed positions over joints that follow at a speed of their own, stand still, or are stopped by something."""

from __future__ import annotations

import math
import time

import pytest
from ferry_ros.drivers.joint_stream import Arrival, JointPort, JointStream, StreamTuning

ARRIVALS = {"lift": Arrival(0.004, 0.015), "pan": Arrival(0.02, 0.15)}
FAST = StreamTuning(period_s=0.005, lead_s=0.2, rest_s=0.03, stall_s=0.2, margin_s=1.0)


class Joints:
    """Each reading moves every joint towards what was sent, by `pace` at most."""

    def __init__(self, pace: float = 0.005, stop: float = math.inf, short: float = 0.0) -> None:
        self.positions = {"lift": 0.2, "pan": 0.0}
        self.pace, self.stop, self.short = pace, stop, short
        self.sent: list[dict[str, float]] = []
        self.fault = ""

    def send(self, positions: object) -> None:
        assert isinstance(positions, dict)
        self.sent.append(dict(positions))
        for name, target in positions.items():
            here = self.positions[name]
            way = max(-self.pace, min(self.pace, target - self.short - here))
            self.positions[name] = min(here + way, self.stop if name == "lift" else math.inf)

    def move(self, speed: float = 1.0, tuning: StreamTuning = FAST, **targets: float) -> str:
        port = JointPort(self.send, lambda: dict(self.positions), lambda: self.fault)
        return JointStream(port, targets, dict.fromkeys(targets, speed), ARRIVALS, tuning).run()


def test_joints_arrive_together_and_others_are_not_sent() -> None:
    joints = Joints()
    assert joints.move(lift=0.3, pan=-0.5) == ""
    assert joints.positions == pytest.approx({"lift": 0.3, "pan": -0.5}, abs=0.02)
    assert Joints().move(pan=0.1) == ""
    assert set(joints.sent[0]) == {"lift", "pan"}


def test_what_is_sent_is_never_far_ahead_of_the_joint() -> None:
    joints = Joints(pace=0.001)
    here, leads = 0.2, []
    send = joints.send

    def watched(positions: object) -> None:
        assert isinstance(positions, dict)
        leads.append(positions["lift"] - joints.positions["lift"])
        send(positions)

    joints.send = watched  # type: ignore[method-assign]
    assert joints.move(speed=0.1, lift=here + 0.06) == ""
    assert max(leads) <= 0.1 * FAST.lead_s + 1e-9


def test_it_goes_no_faster_than_it_may() -> None:
    joints = Joints()
    joints.move(speed=0.5, lift=0.25)
    ways = [after["lift"] - before["lift"] for before, after in zip(joints.sent, joints.sent[1:], strict=False)]
    assert max(ways) <= 0.5 * FAST.period_s + 1e-9


def test_a_joint_that_stands_near_enough_has_arrived_and_one_that_does_not_is_short() -> None:
    assert Joints(short=0.01).move(lift=0.3) == ""  # within `far`
    assert Joints(short=0.03).move(lift=0.3) == "short: lift is at 0.270 of 0.300"
    assert Joints(stop=0.25).move(lift=0.3, pan=0.1).startswith("short: lift is at 0.250 of 0.300, pan is at 0.1")


def test_a_motion_that_never_ends_meets_its_time_limit() -> None:
    hurried = StreamTuning(period_s=0.005, stall_s=1.0, margin_s=0.2)
    assert Joints(pace=0.0).move(speed=10.0, tuning=hurried, lift=0.3) == "time limit: lift is at 0.200 of 0.300"


def test_a_fault_ends_it_before_anything_is_sent() -> None:
    joints = Joints()
    joints.fault = "stopped"
    assert joints.move(lift=0.3) == "stopped"
    assert joints.sent == []


def test_a_joint_that_is_there_is_not_moved() -> None:
    joints = Joints()
    assert joints.move(lift=0.2) == ""
    assert {one["lift"] for one in joints.sent} == {0.2}


def test_a_process_that_was_suspended_sends_nothing_more() -> None:
    joints = Joints(pace=0.001)
    send = joints.send

    def suspended(positions: object) -> None:
        send(positions)
        if len(joints.sent) == 5:
            time.sleep(0.6)

    joints.send = suspended  # type: ignore[method-assign]
    assert joints.move(lift=0.3).startswith("asleep: ")
    assert len(joints.sent) == 5
