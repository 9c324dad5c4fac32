"""Checks of ROS 2: that a node can be made, and that it will hear whom it should and nobody else."""

from __future__ import annotations

from ferry.doctor.check import CheckFailed, Doubtful, Machine, run_python

LAST_DOMAIN = 101
"""From 102 on, DDS's ports meet those that Linux gives away (docs.ros.org, "The ROS_DOMAIN_ID")."""

FIX = "pip install -e '.[ros]', or source /opt/ros/jazzy/setup.bash where ROS 2 itself is installed"

_IMPORT_ROS = "import rclpy; rclpy.init(); rclpy.create_node('ferry_doctor').destroy_node(); rclpy.shutdown()"
_MIDDLEWARE = "from rclpy.utilities import get_rmw_implementation_identifier as name; print(name())"


def check_ros(_machine: Machine) -> str:
    """Checks that a ROS 2 node can be created, with its middleware."""
    run_python(_IMPORT_ROS, FIX)
    return "rclpy creates a node"


def check_domain(machine: Machine) -> str:
    """Checks that ROS_DOMAIN_ID is one, and that no robot of a neighbour has the same by default."""
    written = machine.environment.get("ROS_DOMAIN_ID", "")
    if written and not (written.isdigit() and int(written) <= LAST_DOMAIN):
        raise CheckFailed(f"ROS_DOMAIN_ID is {written!r}", f"choose a number from 0 to {LAST_DOMAIN}")
    if int(written or 0) == 0 and not _local(machine):
        raise Doubtful(
            "ROS_DOMAIN_ID is 0: every ROS 2 machine of this network that has none either hears and moves this robot",
            f"export ROS_DOMAIN_ID=7, or another from 1 to {LAST_DOMAIN}, on all machines of this robot",
        )
    return f"domain {written or 0}" + (", this machine alone" if _local(machine) else "")


def check_discovery(machine: Machine) -> str:
    """Checks that nodes are let find one another at all."""
    found = machine.environment.get("ROS_AUTOMATIC_DISCOVERY_RANGE", "SUBNET")
    known = ("SUBNET", "LOCALHOST", "OFF", "SYSTEM_DEFAULT")
    if found == "OFF":
        raise CheckFailed("ROS_AUTOMATIC_DISCOVERY_RANGE is OFF: no node hears another", "unset it, or LOCALHOST")
    if found not in known:
        raise CheckFailed(f"ROS_AUTOMATIC_DISCOVERY_RANGE is {found!r}", f"one of {', '.join(known)}")
    return "nodes of this machine alone" if _local(machine) else "nodes of this network"


def check_middleware(machine: Machine) -> str:
    """Checks that the middleware which is asked for is the one that is loaded."""
    asked = machine.environment.get("RMW_IMPLEMENTATION", "")
    fix = f"apt-get install ros-$ROS_DISTRO-{asked.replace('_', '-')}, or: unset RMW_IMPLEMENTATION" if asked else FIX
    return run_python(_MIDDLEWARE, fix)


def _local(machine: Machine) -> bool:
    """Whether nodes of other machines are not heard."""
    ranged = machine.environment.get("ROS_AUTOMATIC_DISCOVERY_RANGE", "")
    return ranged in ("LOCALHOST", "OFF") or machine.environment.get("ROS_LOCALHOST_ONLY") == "1"
