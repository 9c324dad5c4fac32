"""Stamps in ROS time, also where that time is set back."""

from __future__ import annotations

import time

from ferry_ros.rclpy_support.ros_stamps import RosStamps
from rclpy.clock import ROSClock
from rclpy.time import Time

HOUR_NS = 3600 * 10**9


def test_stamps_are_ros_time_of_the_moment_that_was_sensed() -> None:
    stamps = RosStamps(ROSClock())
    sensed_ns = time.monotonic_ns() - 2 * 10**9
    assert abs(time.time_ns() - 2 * 10**9 - stamps.of(sensed_ns)) < 10**9
    assert abs(time.time_ns() - stamps.now()) < 10**9


def test_stamps_rise_while_the_clock_is_set_back() -> None:
    clock = ROSClock()
    clock._set_ros_time_is_active(True)
    stamps = RosStamps(clock)
    given = []
    for now_ns in (9 * HOUR_NS, 8 * HOUR_NS, 8 * HOUR_NS + 1, 10 * HOUR_NS):
        clock.set_ros_time_override(Time(nanoseconds=now_ns, clock_type=clock.clock_type))
        given.append(stamps.now())
    assert given == sorted(set(given))
    assert given[2] - given[0] == 2
    assert abs(given[3] - 10 * HOUR_NS) < 10**9
