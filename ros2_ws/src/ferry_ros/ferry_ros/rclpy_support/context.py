"""Entry of Ferry's processes into a ROS graph: DDS profiles, initialisation, log file."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import rclpy
from rclpy.signals import SignalHandlerOptions

PROFILE = Path(__file__).with_name("fast_dds.xml")
"""Default profile of Fast DDS, where the user configures none."""

LOCAL = PROFILE.with_name("fast_dds_local.xml")
"""Default profile for this computer only."""

UDP, LOOPBACK = PROFILE.with_name("fast_dds_udp.xml"), PROFILE.with_name("fast_dds_loopback.xml")
"""Both profiles without shared memory."""

VARIABLES = ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE", "FASTDDS_BUILTIN_TRANSPORTS")
"""Variables with which a user configures it; the first one is set here (the second is its name in Fast DDS 3)."""

RANGE, LOCALHOST_ONLY = "ROS_AUTOMATIC_DISCOVERY_RANGE", "ROS_LOCALHOST_ONLY"


NO_FILE = ("--ros-args", "--disable-external-lib-logs")
"""rclpy writes no log file itself: a full or hanging disk would block the logging thread; without HOME it exits."""


def enter(args: Sequence[str] | None = None) -> None:
    """Initialises rclpy with shared memory sized for images and without its own signal handlers."""
    _choose(PROFILE, LOCAL)
    words = sys.argv if args is None else args
    rclpy.init(args=[*words, *NO_FILE], signal_handler_options=SignalHandlerOptions.NO)


def avoid_shared_memory() -> None:
    """Restricts this process to UDP, with the same discovery scope; call it before `enter`."""
    _choose(UDP, LOOPBACK)


def _choose(network: Path, local: Path) -> None:
    """Selects a profile, unless the user configures the transport.

    When discovery is limited to this computer, the profile binds to its loopback interface, which is
    searched then: under LOCALHOST, rmw_fastrtps listens on every interface and adds shared memory of its own.
    """
    if user_says():
        return
    alone = local_only(os.environ)
    os.environ[VARIABLES[0]] = str(local if alone else network)
    if alone:
        os.environ[RANGE] = "SUBNET"
        os.environ.pop(LOCALHOST_ONLY, None)


def user_says() -> bool:
    """True when the user configures the transport."""
    return any(name in os.environ for name in VARIABLES) or Path("DEFAULT_FASTRTPS_PROFILES.xml").exists()


def udp_alone() -> bool:
    """True when this process uses UDP only."""
    return os.environ.get(VARIABLES[0]) in (str(UDP), str(LOOPBACK))


def local_only(environment: Mapping[str, str]) -> bool:
    """True when discovery is limited to this computer."""
    limited = environment.get(RANGE) == "LOCALHOST" or environment.get(LOCALHOST_ONLY) == "1"
    return limited or environment.get(VARIABLES[0]) in (str(LOCAL), str(LOOPBACK))


def log_file(module: str) -> Path | None:
    """Path of this process's log: in ROS_LOG_DIR, ROS_HOME/log or ~/.ros/log; None without a home."""
    program = Path(sys.argv[0]).stem if module == "__main__" else module.rpartition(".")[2]
    home = os.environ.get("ROS_HOME") or ("~/.ros" if os.environ.get("HOME") else "")
    folder = os.environ.get("ROS_LOG_DIR") or (home and f"{home}/log")
    name = f"{program}_{os.getpid()}_{time.time_ns() // 1_000_000}.log"
    return Path(folder).expanduser() / name if folder else None
