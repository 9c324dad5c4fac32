"""Timers on the steady clock: rclpy's own follow the time of day, and stand still for as long as that jumps back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rclpy.callback_groups import CallbackGroup
from rclpy.clock import Clock
from rclpy.clock_type import ClockType
from rclpy.node import Node


def every(node: Node, period_s: float, callback: Callable[[], object], group: CallbackGroup | None = None) -> Any:
    """Calls `callback` every `period_s`, whatever happens to the time of day; returns the timer."""
    clock = Clock(clock_type=ClockType.STEADY_TIME)
    return node.create_timer(period_s, callback, callback_group=group, clock=clock)
