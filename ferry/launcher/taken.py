"""What a launch needs for itself alone: names of nodes and a server's port. Refused before anything starts."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from ferry.errors import UsageError
from ferry.launcher.plan import Process
from robots.errors import ConnectionFailed
from robots.processes.lock import claim

NODES = ("ferry_ros/robot_node", "ferry_ros/supervisor_node", "ferry_ros/policy_node")
"""Of each of them, a namespace takes one: a second one would drive the robot of the first."""


@contextmanager
def taken(processes: Sequence[Process]) -> Iterator[None]:
    """Holds, for as long as it lasts, what no other launch of this machine may have at the same time.

    Raises:
        UsageError: another one has it, or a program listens on the port.
    """
    with ExitStack() as held:
        try:
            for name in names(processes):
                held.enter_context(claim(name))
        except ConnectionFailed as error:
            raise UsageError(str(error)) from error
        for host, port in ports(processes):
            _free(host, port)
        yield


def names(processes: Sequence[Process]) -> list[str]:
    """The nodes and ports of a launch, by names that only they have on this machine."""
    nodes = [f"{_node(one)} of ROS domain {_domain(one)}" for one in processes if one.origin in NODES]
    return [*nodes, *(f"port {port} of {host}" for host, port in ports(processes))]


def ports(processes: Sequence[Process]) -> list[tuple[str, int]]:
    """Where the policy servers of a launch will listen: (host, port), without those that pick a free one."""
    found = []
    for one in processes:
        words = dict(zip(one.arguments, one.arguments[1:]))
        if one.origin == "ferry" and one.arguments[:1] == ("serve",) and words.get("--port", "0").strip("0").isdigit():
            found.append((words.get("--host", "127.0.0.1"), int(words["--port"])))
    return found


def _node(process: Process) -> str:
    namespace = next((word[len("__ns:=") :] for word in process.arguments if word.startswith("__ns:=")), "/")
    return f"{namespace.rstrip('/')}/{process.name}"


def _domain(process: Process) -> str:
    return process.environment.get("ROS_DOMAIN_ID") or os.environ.get("ROS_DOMAIN_ID") or "0"


def _free(host: str, port: int) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        socket.create_server((host, port), family=family).close()
    except OSError as error:
        fix = "`ss -ltnp` shows who has it, another server_port:= avoids it"
        raise UsageError(f"port {port} of {host}: {error.strerror}; {fix}") from error
