"""Discovery of Ferry's robots, and likely reasons why one is not reached."""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path

from rclpy.node import Node

from ferry_ros.rclpy_support import context, shared_memory

PERMIT = ("permit", "diagnostic_msgs/msg/DiagnosticStatus")
"""Topic and type that a supervisor publishes in its robot's namespace."""
HEARTBEAT = ("robot_heartbeat", "std_msgs/msg/Bool")
"""The same of a robot_node."""

PORT, PORTS, FIRST, LAST_DOMAIN = 7400, 250, 10, 101
"""UDP ports (OMG DDSI-RTPS 9.6.1.1): the first of all, how many a domain has, the first of a process's two in it."""


def robots(node: Node) -> dict[str, bool]:
    """Namespaces in which a supervisor or a robot_node is seen -> whether a supervisor is."""
    found: dict[str, bool] = {}
    for topic, types in node.get_topic_names_and_types():
        namespace, _, name = topic.rpartition("/")
        for what, supervised in ((HEARTBEAT, False), (PERMIT, True)):
            if name == what[0] and what[1] in types and node.count_publishers(topic):
                found[namespace or "/"] = supervised or found.get(namespace or "/", False)
    return found


def below(namespace: str, above: str) -> bool:
    """True when `namespace` is `above` or below it."""
    return namespace == above or namespace.startswith(above.rstrip("/") + "/")


def view() -> str:
    """Scope of this process's discovery, as text."""
    return f"ROS domain {domain()}, {'this computer alone' if context.local_only(os.environ) else 'this network'}"


def domain() -> int:
    """The ROS domain of this process."""
    return int(os.environ.get("ROS_DOMAIN_ID") or 0)


def reasons(namespace: str, seen: Collection[str]) -> str:
    """Likely reasons why robots of `namespace` are not reached, the likeliest first, as text.

    Args:
        namespace: of the robots, in it and below it.
        seen: namespaces of the discovered robots.
    """
    found = []
    if any(below(name, namespace) for name in seen):
        found += ["it is seen but silent: does its process hang?", *_silence()]
    else:
        elsewhere = f"; robots run in {', '.join(sorted(seen))}: is one of them the --namespace?" if seen else ""
        found.append(f"NOBODY LISTENS in {namespace}{elsewhere}")
    others = domains_here() - {domain()}
    if others:
        numbers = ", ".join(map(str, sorted(others)))
        found.append(f"processes of this computer speak in ROS domain {numbers}: is one of them the ROS_DOMAIN_ID?")
    found.append(f"only {view()} is searched")
    middleware = os.environ.get("RMW_IMPLEMENTATION", "")
    if middleware not in ("", "rmw_fastrtps_cpp"):
        found.append(f"RMW_IMPLEMENTATION is {middleware} here: is it the robot's, too?")
    return "; ".join(found)


def _silence() -> list[str]:
    """Likely reasons why shared memory does not deliver messages, where it is used."""
    if context.udp_alone():
        return []
    found = [shared_memory.missing()] if shared_memory.missing() else []
    if users := shared_memory.strangers():
        found.append(f"another user's processes speak ROS on this computer (uid {', '.join(map(str, users))})")
    return [*found, f"it communicates over UDP alone where these are unset: {', '.join(context.VARIABLES)}"]


def domains_here() -> set[int]:
    """ROS domains of processes of this computer (or container), by their UDP ports."""
    files = [file for file in (Path("/proc/net/udp"), Path("/proc/net/udp6")) if file.exists()]
    lines = [line for file in files for line in file.read_text().splitlines()[1:]]
    ports = {int(line.split()[1].rpartition(":")[2], 16) for line in lines}
    found = set()
    for port in ports:
        number, at = divmod(port - PORT, PORTS)
        if 0 <= number <= LAST_DOMAIN and at >= FIRST and at % 2 == 0 and port + 1 in ports:
            found.add(number)
    return found
