"""How Ferry's processes enter a ROS graph."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import rclpy
from rclpy.signals import SignalHandlerOptions

PROFILE = Path(__file__).with_name("fast_dds.xml")
"""How Fast DDS transports messages where the user does not say it."""

SAID = ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE", "FASTDDS_BUILTIN_TRANSPORTS")
"""Variables with which a user says it; the first is the one that is set (the second is Fast DDS 3's name for it)."""


def enter(args: Sequence[str] | None = None) -> None:
    """Initialises rclpy with room for pictures and without handlers of its own for signals."""
    if not any(name in os.environ for name in SAID) and not Path("DEFAULT_FASTRTPS_PROFILES.xml").exists():
        os.environ[SAID[0]] = str(PROFILE)
    rclpy.init(args=None if args is None else list(args), signal_handler_options=SignalHandlerOptions.NO)
