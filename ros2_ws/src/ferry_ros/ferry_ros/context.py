"""How Ferry's processes enter a ROS graph."""

from __future__ import annotations

import os
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


def enter(args: Sequence[str] | None = None) -> None:
    """Initialises rclpy with room for pictures and without handlers of its own for signals."""
    _choose(PROFILE, LOCAL)
    rclpy.init(args=None if args is None else list(args), signal_handler_options=SignalHandlerOptions.NO)


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
