"""Checks of ROS 2: that a node can be made, and that it will hear whom it should and nobody else."""

from __future__ import annotations

import getpass
import os
from pathlib import Path

from ferry_ros.rclpy_support import shared_memory

from ferry.doctor.check import CheckFailed, Doubtful, Machine, run_python

LAST_DOMAIN = 101
"""From 102 on, DDS's ports meet those that Linux gives away (docs.ros.org, "The ROS_DOMAIN_ID")."""

FIX = "pip install -e '.[ros]', or source /opt/ros/jazzy/setup.bash where ROS 2 itself is installed"

KEEP = "loginctl enable-linger, or RemoveIPC=no in /etc/systemd/logind.conf and: systemctl restart systemd-logind"
FIRST_USER = 1000
"""Users below it are the system's, whose shared memory logind spares."""

_IMPORT_ROS = "import rclpy; rclpy.init(); rclpy.create_node('ferry_doctor').destroy_node(); rclpy.shutdown()"
_ROLL_CALL = "from ferry_ros.estop import roll_call; roll_call.main()"
_MIDDLEWARE = "from rclpy.utilities import get_rmw_implementation_identifier as name; print(name())"


def check_ros(machine: Machine) -> str:
    """Checks that a ROS 2 node can be created, with its middleware."""
    try:
        run_python(_IMPORT_ROS, FIX)
    except CheckFailed as error:
        raise CheckFailed(str(error), _fix(machine, str(error))) from error
    return "rclpy creates a node"


def _fix(machine: Machine, found: str) -> str:
    """What to do where no node can be created: not every reason is a package that is missing."""
    if "log directory" in found or not machine.environment.get("HOME"):
        return "export HOME=... or ROS_LOG_DIR=..., a folder that this user may write"
    if not _is_domain(machine.environment.get("ROS_DOMAIN_ID", "")):
        return f"export ROS_DOMAIN_ID=..., a number from 0 to {LAST_DOMAIN}"
    return FIX


def check_domain(machine: Machine) -> str:
    """Checks that ROS_DOMAIN_ID is one, and that no robot of a neighbour has the same by default."""
    written = machine.environment.get("ROS_DOMAIN_ID", "")
    if not _is_domain(written):
        raise CheckFailed(f"ROS_DOMAIN_ID is {written!r}", f"choose a number from 0 to {LAST_DOMAIN}")
    if int(written or 0) == 0 and not _local(machine):
        raise Doubtful(
            "ROS_DOMAIN_ID is 0: every ROS 2 machine of this network that has none either hears and moves this robot",
            f"export ROS_DOMAIN_ID=7, or another from 1 to {LAST_DOMAIN}, on all machines of this robot",
        )
    return f"domain {written or 0}" + (", this machine alone" if _local(machine) else "")


def check_discovery(machine: Machine) -> str:
    """Checks that nodes are let find one another at all, and says who may find and drive this robot."""
    said = machine.environment.get("ROS_AUTOMATIC_DISCOVERY_RANGE")
    found = said or "SUBNET"
    known = ("SUBNET", "LOCALHOST", "OFF", "SYSTEM_DEFAULT")
    if found == "OFF":
        raise CheckFailed("ROS_AUTOMATIC_DISCOVERY_RANGE is OFF: no node hears another", "unset it, or LOCALHOST")
    if found not in known:
        raise CheckFailed(f"ROS_AUTOMATIC_DISCOVERY_RANGE is {found!r}", f"one of {', '.join(known)}")
    if _local(machine):
        only = machine.environment.get("ROS_LOCALHOST_ONLY") == "1"
        return f"nodes of this machine alone ({'ROS_LOCALHOST_ONLY=1' if only else 'LOCALHOST'})"
    if said:
        return f"nodes of this network ({said}): whoever is on it can drive this robot (docs/security.md)"
    return "not set: ferry run keeps to this machine unless told discovery:=subnet; other nodes speak to this network"


def check_middleware(machine: Machine) -> str:
    """Checks that the middleware which is asked for is the one that is loaded."""
    asked = machine.environment.get("RMW_IMPLEMENTATION", "")
    fix = f"apt-get install ros-$ROS_DISTRO-{asked.replace('_', '-')}, or: unset RMW_IMPLEMENTATION" if asked else FIX
    return run_python(_MIDDLEWARE, fix)


def check_memory(machine: Machine) -> str:
    """Checks the shared memory through which nodes of one machine speak: that nobody removes it, or holds it for
    another user."""
    gone = [pid for pid in _processes() if shared_memory.missing(pid)]
    if gone:
        found = f"the shared memory of process {', '.join(gone)} was removed: who starts now does not hear it"
        raise CheckFailed(found, f"start it again; {KEEP}")
    users = shared_memory.strangers()
    if users:
        names = ", ".join(map(str, users))
        fix = "start all nodes of a robot as one user; or, for all of them: export FASTDDS_BUILTIN_TRANSPORTS=UDPv4"
        fix += " ROS_AUTOMATIC_DISCOVERY_RANGE=SUBNET (ferry stop hears them in any case)"
        raise Doubtful(
            f"nodes of another user run here (uid {names}): they and this user's do not hear one another", fix
        )
    if removes_memory(machine):
        found = "systemd-logind removes ROS's shared memory when this user's last session ends (RemoveIPC)"
        raise Doubtful(found, KEEP)
    return "shared memory stays, and is this user's"


def removes_memory(machine: Machine) -> bool:
    """Whether systemd-logind removes this user's shared memory when its last session ends; system users are spared."""
    if os.getuid() < FIRST_USER or not (machine.root / "run/systemd/seats").exists():
        return False
    if (machine.root / "var/lib/systemd/linger" / getpass.getuser()).exists():
        return False
    return remove_ipc(machine.root)


def remove_ipc(root: Path) -> bool:
    """RemoveIPC as logind reads it: the last word counts, and its default is yes."""
    word = "yes"
    for folder in ("usr/lib", "etc"):
        base = root / folder / "systemd"
        for file in (base / "logind.conf", *sorted((base / "logind.conf.d").glob("*.conf"))):
            for line in file.read_text().splitlines() if file.exists() else ():
                name, _, value = line.partition("=")
                word = value.strip().lower() if name.strip() == "RemoveIPC" else word
    return word not in ("no", "false", "0", "off")


def check_robots(_machine: Machine) -> str:
    """Checks that robots whose nodes run already are heard, and not only seen."""
    told = dict(line.split()[::-1] for line in run_python(_ROLL_CALL, FIX).splitlines())
    silent = [namespace for namespace, how in told.items() if how == "silent"]
    if silent:
        fix = "is it of another user, in a container without --ipc=host, or was its memory removed (check memory)?"
        raise CheckFailed(f"seen but silent: {', '.join(silent)}", f"{fix} Start it again")
    return f"heard: {', '.join(told)}" if told else "no robot runs"


def _processes() -> list[str]:
    return [path.name for path in Path("/proc").iterdir() if path.name.isdigit()]


def _is_domain(written: str) -> bool:
    return not written or (written.isdigit() and int(written) <= LAST_DOMAIN)


def _local(machine: Machine) -> bool:
    """Whether nodes of other machines are not heard."""
    ranged = machine.environment.get("ROS_AUTOMATIC_DISCOVERY_RANGE", "")
    return ranged in ("LOCALHOST", "OFF") or machine.environment.get("ROS_LOCALHOST_ONLY") == "1"
