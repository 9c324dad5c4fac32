"""Timers on the steady clock: rclpy's default timers use the wall clock, and stall when that is set back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rclpy.callback_groups import CallbackGroup
from rclpy.clock import Clock
from rclpy.clock_type import ClockType
from rclpy.node import Node


def steady_timer(
    node: Node, period_s: float, callback: Callable[[], object], group: CallbackGroup | None = None
) -> Any:
    """Creates a timer that calls `callback` every `period_s`, independent of the wall clock."""
    clock = Clock(clock_type=ClockType.STEADY_TIME)
    return node.create_timer(period_s, callback, callback_group=group, clock=clock)
