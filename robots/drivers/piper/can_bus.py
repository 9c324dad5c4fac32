"""Opens a CAN bus with python-can, with an error that names the cause when it does not open."""

from __future__ import annotations

import errno
import re
from pathlib import Path
from typing import Any

from robots.errors import ConnectionFailed, NotInstalled

BITRATE = 1_000_000
"""Of the Piper's bus: piper_sdk C_STD_CAN expected_bitrate."""

GROUP_AND_PORT = re.compile(r"(\d+\.\d+\.\d+\.\d+):(\d+)")


def open_bus(channel: str, interface: str) -> Any:
    """An open `can.BusABC`.

    Args:
        channel: "can0", a serial port for "slcan", or for "udp_multicast" a group or "GROUP:PORT". All groups of one
            port hear each other (Linux delivers by port), so two fakes need two ports.
        interface: python-can's name of the kind of bus.

    Raises:
        ConnectionFailed: python-can or the interface is missing, down, or not ours to open.
    """
    can = _python_can()
    if interface == "socketcan":
        check_link(channel)
    arguments: dict[str, Any] = {"channel": channel, "interface": interface, "bitrate": BITRATE}
    if interface == "udp_multicast" and (both := GROUP_AND_PORT.fullmatch(channel)):
        arguments.update(channel=both[1], port=int(both[2]))
    try:
        return can.Bus(**arguments)
    except (can.CanError, OSError, ValueError) as error:
        raise ConnectionFailed(_why(channel, interface, error)) from error


def check_link(channel: str, folder: Path = Path("/sys/class/net")) -> None:
    """Raises ConnectionFailed unless Linux has the CAN interface `channel` and it is up."""
    device = folder / channel
    if not device.exists():
        known = ", ".join(sorted(path.name for path in folder.glob("*can*"))) or "none"
        raise ConnectionFailed(f"no CAN interface '{channel}'; is the adapter plugged in? available: {known}")
    state = (device / "operstate").read_text(encoding="utf-8").strip()
    if state != "up":
        bring_up = f"sudo ip link set {channel} up type can bitrate {BITRATE}"
        raise ConnectionFailed(f"CAN interface {channel} is {state}, expected up: `{bring_up}`")


def _why(channel: str, interface: str, error: BaseException) -> str:
    first: BaseException = error
    while first.__cause__ is not None:
        first = first.__cause__
    if isinstance(first, OSError) and first.errno in (errno.EACCES, errno.EPERM):
        return f"permission denied for CAN bus {channel} ({interface}); add the user to the group of its device"
    return f"CAN bus {channel} ({interface}) cannot be opened: {first}"


def _python_can() -> Any:
    try:
        import can  # type: ignore[import-untyped,import-not-found,unused-ignore]
    except ImportError as error:
        raise NotInstalled(f"python-can cannot be imported ({error}): pip install -e '.[piper]'") from error
    return can
