"""Exclusive resources of a launch, node names and the server's port; refused before anything starts if taken."""

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
"""Only one of each may run in a namespace: a second one would drive the first one's robot."""


@contextmanager
def taken(processes: Sequence[Process]) -> Iterator[None]:
    """Holds the resources that no other launch of this machine may use at the same time.

    Raises:
        UsageError: another launch holds one, or a program listens on the port.
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
    """Returns names of a launch's nodes and ports that are unique on this machine."""
    nodes = [f"{_node(process)} of ROS domain {_domain(process)}" for process in processes if process.origin in NODES]
    return [*nodes, *(f"port {port} of {host}" for host, port in ports(processes))]


def ports(processes: Sequence[Process]) -> list[tuple[str, int]]:
    """Returns the (host, port) of a launch's policy servers, without those that pick a free port."""
    found = []
    for process in processes:
        words = dict(zip(process.arguments, process.arguments[1:]))
        serves = process.origin == "ferry" and process.arguments[:1] == ("serve",)
        if serves and words.get("--port", "0").strip("0").isdigit():
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
        fix = "`ss -ltnp` shows which process has it; or pass another server_port:="
        raise UsageError(f"port {port} of {host}: {error.strerror}; {fix}") from error
