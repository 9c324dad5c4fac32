"""Checks of attached devices, serial ports and CAN interfaces, and of the SDKs that use them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Sequence
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

from ferry.doctor.check import CheckFailed, CheckWarning, Machine

_CAN = "280"
"""ARPHRD_CAN of linux/if_arp.h, as in /sys/class/net/NAME/type."""
_UP = 0x1
"""IFF_UP of linux/if.h."""


def check_sdk(module: str, distribution: str, tested: str, install: str) -> str:
    """Checks that a vendor's SDK is installed, in the version that the driver was tested with.

    Args:
        module: name of the module that the driver imports.
        distribution: its name for pip.
        tested: the version that the driver was tested with.
        install: command that installs that version.
    """
    if find_spec(module) is None:
        raise CheckFailed(f"{module} is not installed", install)
    try:
        version = metadata.version(distribution)
    except metadata.PackageNotFoundError:
        raise CheckWarning(
            f"{module} is installed, but its version is unknown; tested with {tested}", install
        ) from None
    if version != tested:
        raise CheckWarning(f"{distribution} {version}; the driver was tested with {tested}", install)
    return f"{distribution} {version}"


def check_files(patterns: Sequence[str], group: str, what: str, machine: Machine) -> str:
    """Checks that device files exist, and that this user may read and write them.

    Args:
        patterns: names under /dev, with wildcards.
        group: the group that owns such devices.
        what: description of the devices, for messages.
        machine: the machine whose /dev is checked.
    """
    found = sorted({file for pattern in patterns for file in (machine.root / "dev").glob(pattern)})
    if not found:
        searched = ", ".join(f"/dev/{pattern}" for pattern in patterns)
        raise CheckFailed(f"no {what}: nothing matches {searched}", f"is it switched on and plugged in? {_udev(what)}")
    gone = [file for file in found if not file.exists()]
    if gone:
        raise CheckFailed(f"unplugged: {', '.join(map(str, gone))}", f"plug it in again. {_udev(what)}")
    closed = [file for file in found if not os.access(file, os.R_OK | os.W_OK)]
    if closed:
        fix = f"sudo usermod -aG {group} $USER, then log out and in again"
        raise CheckFailed(f"permission denied: {', '.join(map(str, closed))}", fix)
    return f"{len(found)} found: {', '.join(file.name for file in found)}"


def _udev(what: str) -> str:
    return f"`udevadm monitor` shows events when a cable is plugged in; /etc/udev/rules.d names {what}"


def check_can(name: str, bitrate: int, machine: Machine) -> str:
    """Checks that a CAN interface exists, is up and has the bit rate of the robot.

    Args:
        name: of the interface, e.g. can0.
        bitrate: of the robot's bus [bit/s].
        machine: the machine whose /sys is checked.
    """
    nets = machine.root / "sys" / "class" / "net"
    start = f"sudo ip link set {name} up type can bitrate {bitrate}"
    known = sorted(net.name for net in nets.glob("*") if _read(net / "type") == _CAN)
    if name not in known:
        listed = ", ".join(known) or "none"
        fix = f"plug the CAN adapter in (`lsusb`, `sudo modprobe gs_usb`), then: {start}"
        raise CheckFailed(f"no CAN interface {name}; available: {listed}", fix)
    if not int(_read(nets / name / "flags") or "0", 16) & _UP:
        raise CheckFailed(f"{name} is down", start)
    rate = can_bitrate(name)
    if rate is not None and rate != bitrate:
        raise CheckFailed(
            f"{name} runs at {rate} bit/s, the robot at {bitrate}", f"sudo ip link set {name} down; {start}"
        )
    return f"{name} is up" + (f" at {rate} bit/s" if rate else "; its bit rate is unknown")


def can_bitrate(name: str) -> int | None:
    """Returns the bit rate of a CAN interface [bit/s] as reported by `ip`; None if it reports none."""
    if shutil.which("ip") is None:
        return None
    done = subprocess.run(
        ["ip", "-details", "-json", "link", "show", name], capture_output=True, text=True, timeout=10.0, check=False
    )
    try:
        return int(json.loads(done.stdout)[0]["linkinfo"]["info_data"]["bittiming"]["bitrate"])
    except (ValueError, LookupError, TypeError):  # a virtual bus has none
        return None


def _read(file: Path) -> str:
    return file.read_text(encoding="utf-8").strip() if file.is_file() else ""
