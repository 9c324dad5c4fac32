"""A base step over a kinematic base that answers late, brakes as hard as it is commanded, and may meet a wall."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise

import pytest
from ferry_ros.drivers.base_motion import BasePort, BaseTuning, drive, turn

from robots.embodiment import BaseLimits

LIMITS = BaseLimits(0.3, 1.9, 0.4, 2.5, 0.2, math.radians(30))
TICK_S = 0.005
QUICK = BaseTuning(stall_s=0.4, settle_s=0.3)


class Base:
    """Moves with its last command, `latency_s` later; like a Kobuki it never stops by itself."""

    def __init__(self, wall_m: float = math.inf, latency_s: float = 0.05, ignores_commands: bool = False) -> None:
        self.wall_m, self.latency_s, self.ignores_commands = wall_m, latency_s, ignores_commands
        self.pose = (0.0, 0.0, 0.0)
        self.commands: list[tuple[float, float, float]] = [(-1.0, 0.0, 0.0)]  # when, forward, turning
        self.fault = ""

    def send(self, forward: float, turning: float) -> None:
        self.commands.append((time.monotonic(), forward, turning))

    def tick(self) -> None:
        until_s = time.monotonic() - self.latency_s
        _, forward, turning = next(one for one in reversed(self.commands) if one[0] <= until_s)
        x, y, yaw = self.pose
        forward, turning = (0.2, 0.0) if self.ignores_commands else (forward, turning)
        yaw = math.remainder(yaw + turning * TICK_S, 2 * math.pi)
        self.pose = (min(self.wall_m, x + forward * math.cos(yaw) * TICK_S), y + forward * math.sin(yaw) * TICK_S, yaw)

    @property
    def port(self) -> BasePort:
        return BasePort(self.send, lambda: self.pose, lambda: self.fault)


@contextmanager
def moving(base: Base) -> Iterator[Base]:
    over = threading.Event()

    def run() -> None:
        at = time.monotonic()
        while not over.is_set():
            time.sleep(0.001)
            while at < time.monotonic():
                base.tick()
                at += TICK_S

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield base
    finally:
        over.set()
        thread.join()


@pytest.mark.parametrize("distance_m", [0.2, -0.2, 0.05])
def test_it_drives_as_far_as_asked_and_ends_with_zero(distance_m: float) -> None:
    with moving(Base()) as base:
        assert drive(base.port, LIMITS, distance_m) == ""
        assert base.pose[0] == pytest.approx(distance_m, abs=0.02)
        assert base.commands[-1][1:] == (0.0, 0.0)
    assert max(abs(one[1]) for one in base.commands) <= LIMITS.max_speed_mps


@pytest.mark.parametrize("angle_rad", [math.radians(30), -math.radians(6)])
def test_it_turns_across_the_seam_of_the_yaw(angle_rad: float) -> None:
    with moving(Base()) as base:
        base.pose = (0.0, 0.0, math.pi - 0.01 if angle_rad > 0 else -math.pi + 0.01)
        before = base.pose[2]
        assert turn(base.port, LIMITS, angle_rad) == ""
        assert math.remainder(base.pose[2] - before, 2 * math.pi) == pytest.approx(angle_rad, abs=math.radians(2))


def test_speed_rises_and_falls_by_no_more_than_the_deceleration_allows() -> None:
    with moving(Base()) as base:
        drive(base.port, LIMITS, 0.2)
    speeds = [one[1] for one in base.commands]
    steps = [abs(after - before) for before, after in pairwise(speeds)]
    assert max(steps) <= LIMITS.max_decel_mps2 / 30 + 1e-9


def test_a_wall_is_a_contact() -> None:
    with moving(Base(wall_m=0.05)) as base:
        assert drive(base.port, LIMITS, 0.2, QUICK).startswith("contact: the base came 0.050 of 0.200 m")
        assert base.commands[-1][1:] == (0.0, 0.0)


def test_a_stop_ramps_down_and_is_the_reason() -> None:
    with moving(Base()) as base:
        port = replace(base.port, fault=lambda: "stopped" if base.pose[0] > 0.05 else "")
        assert drive(port, LIMITS, 0.2) == "stopped"
        assert 0.05 < base.pose[0] < 0.2
        at_rest = base.pose
        time.sleep(0.2)
        assert base.pose == at_rest


def test_a_base_that_does_not_stop_is_reported() -> None:
    with moving(Base(ignores_commands=True)) as base:
        assert "the base is not at rest 0.3 s after zero was sent" in drive(base.port, LIMITS, 0.1, QUICK)


def test_what_fails_while_it_drives_leaves_zero_behind() -> None:
    with moving(Base()) as base:
        poses = iter([base.pose] * 20)
        port = BasePort(base.send, lambda: next(poses), lambda: "")
        with pytest.raises(StopIteration):
            drive(port, LIMITS, 0.2)
        assert base.commands[-1][1:] == (0.0, 0.0)


def test_a_process_that_did_not_run_sends_no_speed_when_it_is_back() -> None:
    base, frozen, back_s = Base(), threading.Event(), list[float]()

    def fault() -> str:
        if base.pose[0] > 0.05 and not frozen.is_set():
            time.sleep(0.6)  # as a SIGSTOP does; a vendor's watchdog stops the base meanwhile
            frozen.set()
            back_s.append(time.monotonic())
        return ""

    with moving(base):
        reason = drive(BasePort(base.send, lambda: base.pose, fault), LIMITS, 0.2)
    assert reason.startswith("asleep: ")
    assert {forward for at_s, forward, _ in base.commands if at_s >= back_s[0]} == {0.0}


def test_a_process_that_is_suspended_while_it_sends_a_speed_sends_zero_at_once() -> None:
    with moving(Base()) as base:
        slept: list[float] = []

        def send(forward: float, turning: float) -> None:
            if forward > 0.1 and not slept:
                time.sleep(0.8)  # between looking at the clock and the message's leaving
                slept.append(time.monotonic())
            base.send(forward, turning)

        reason = drive(BasePort(send, lambda: base.pose, lambda: base.fault), LIMITS, 0.2)
        assert reason.startswith("asleep")
        late = [forward for at, forward, _ in base.commands if at >= slept[0]]
        assert late[0] > 0.0  # what was being sent; nothing can take it back
        assert set(late[1:]) == {0.0}
