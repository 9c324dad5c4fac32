"""How Ferry's processes enter a ROS graph."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import rclpy
from rclpy.signals import SignalHandlerOptions

PROFILE = Path(__file__).with_name("fast_dds.xml")
"""How Fast DDS transports messages where the user does not say it."""

LOCAL = PROFILE.with_name("fast_dds_local.xml")
"""The same for this computer alone."""

UDP, LOOPBACK = PROFILE.with_name("fast_dds_udp.xml"), PROFILE.with_name("fast_dds_loopback.xml")
"""Both without shared memory."""

SAID = ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE", "FASTDDS_BUILTIN_TRANSPORTS")
"""Variables with which a user says it; the first is the one that is set (the second is Fast DDS 3's name for it)."""

RANGE, LOCALHOST_ONLY = "ROS_AUTOMATIC_DISCOVERY_RANGE", "ROS_LOCALHOST_ONLY"


NO_FILE = ("--ros-args", "--disable-external-lib-logs")
"""rclpy writes no log file itself: a disk that is full or hangs would hold whoever logs, and without HOME it ends."""


def enter(args: Sequence[str] | None = None) -> None:
    """Initialises rclpy with room for images and without handlers of its own for signals."""
    _choose(PROFILE, LOCAL)
    words = sys.argv if args is None else args
    rclpy.init(args=[*words, *NO_FILE], signal_handler_options=SignalHandlerOptions.NO)


def avoid_shared_memory() -> None:
    """Has this process speak over UDP alone, as far as it did before; call it before `enter`."""
    _choose(UDP, LOOPBACK)


def _choose(network: Path, local: Path) -> None:
    """Takes a profile, unless the user says how messages are transported.

    Where only nodes of this computer are looked for, the profile binds to its loopback interface, which is what is
    looked in then: under LOCALHOST, rmw_fastrtps listens on every interface and adds shared memory of its own.
    """
    if user_says():
        return
    alone = local_only(os.environ)
    os.environ[SAID[0]] = str(local if alone else network)
    if alone:
        os.environ[RANGE] = "SUBNET"
        os.environ.pop(LOCALHOST_ONLY, None)


def user_says() -> bool:
    """Whether somebody says how messages are transported."""
    return any(name in os.environ for name in SAID) or Path("DEFAULT_FASTRTPS_PROFILES.xml").exists()


def udp_alone() -> bool:
    """Whether this process speaks over UDP alone."""
    return os.environ.get(SAID[0]) in (str(UDP), str(LOOPBACK))


def local_only(environment: Mapping[str, str]) -> bool:
    """Whether nodes of other computers are not looked for."""
    said = environment.get(RANGE) == "LOCALHOST" or environment.get(LOCALHOST_ONLY) == "1"
    return said or environment.get(SAID[0]) in (str(LOCAL), str(LOOPBACK))


def log_file(module: str) -> Path | None:
    """Where ROS keeps this process's log: in ROS_LOG_DIR, ROS_HOME/log or ~/.ros/log; None where there is no home."""
    program = Path(sys.argv[0]).stem if module == "__main__" else module.rpartition(".")[2]
    home = os.environ.get("ROS_HOME") or ("~/.ros" if os.environ.get("HOME") else "")
    folder = os.environ.get("ROS_LOG_DIR") or (home and f"{home}/log")
    name = f"{program}_{os.getpid()}_{time.time_ns() // 1_000_000}.log"
    return Path(folder).expanduser() / name if folder else None
