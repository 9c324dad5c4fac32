"""How Ferry's processes enter a ROS graph."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import rclpy
from rclpy.signals import SignalHandlerOptions

PROFILE = Path(__file__).with_name("fast_dds.xml")
"""How Fast DDS transports messages where the user does not say it."""

SAID = ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE", "FASTDDS_BUILTIN_TRANSPORTS")
"""Variables with which a user says it; the first is the one that is set (the second is Fast DDS 3's name for it)."""


NO_FILE = ("--ros-args", "--disable-external-lib-logs")
"""rclpy writes no log file itself: a disk that is full or hangs would hold whoever logs, and without HOME it ends."""


def enter(args: Sequence[str] | None = None) -> None:
    """Initialises rclpy with room for pictures and without handlers of its own for signals."""
    if not any(name in os.environ for name in SAID) and not Path("DEFAULT_FASTRTPS_PROFILES.xml").exists():
        os.environ[SAID[0]] = str(PROFILE)
    words = sys.argv if args is None else args
    rclpy.init(args=[*words, *NO_FILE], signal_handler_options=SignalHandlerOptions.NO)


def log_file(module: str) -> Path | None:
    """Where ROS keeps this process's log: in ROS_LOG_DIR, ROS_HOME/log or ~/.ros/log; None where there is no home."""
    program = Path(sys.argv[0]).stem if module == "__main__" else module.rpartition(".")[2]
    home = os.environ.get("ROS_HOME") or ("~/.ros" if os.environ.get("HOME") else "")
    folder = os.environ.get("ROS_LOG_DIR") or (home and f"{home}/log")
    name = f"{program}_{os.getpid()}_{time.time_ns() // 1_000_000}.log"
    return Path(folder).expanduser() / name if folder else None
