"""Calls to services of other nodes; every one ends in time."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import Any

from rcl_interfaces.srv import GetParameters, SetParameters
from rclpy.client import Client
from rclpy.node import Node
from rclpy.parameter import Parameter, parameter_value_to_python

from robots.errors import ConnectionFailed, RobotError


def call(client: Client, request: Any, timeout_s: float) -> Any:
    """The response; the node must be spun in another thread.

    Raises ConnectionFailed when no node offers the service, RobotError when no response comes in time.
    """
    if not client.wait_for_service(timeout_s):
        raise ConnectionFailed(f"no node offers {client.srv_name}; is that node running?")
    answered = threading.Event()
    future = client.call_async(request)
    future.add_done_callback(lambda _: answered.set())
    if not answered.wait(timeout_s):
        raise RobotError(f"{client.srv_name}: no answer within {timeout_s} s")
    return future.result()


def ask(node: Node, kind: Any, name: str, request: Any, timeout_s: float) -> Any:
    """`call` through a client that lives for this one call; not from a callback of the node's default group."""
    client = node.create_client(kind, name)
    try:
        return call(client, request, timeout_s)
    finally:
        node.destroy_client(client)


def set_parameters(node: Node, other: str, values: dict[str, object], timeout_s: float) -> None:
    """Sets parameters of the node called `other`; RobotError names the refused one and the reason."""
    messages = [Parameter(name, value=value).to_parameter_msg() for name, value in values.items()]
    request = SetParameters.Request(parameters=messages)
    response = ask(node, SetParameters, f"{other}/set_parameters", request, timeout_s)
    for name, result in zip(values, response.results):
        if not result.successful:
            raise RobotError(f"{other}: parameter {name}: {result.reason}")


def get_parameters(node: Node, other: str, names: Iterable[str], timeout_s: float) -> dict[str, object]:
    """Returns parameters of the node called `other`; None for one that is not set."""
    request = GetParameters.Request(names=list(names))
    response = ask(node, GetParameters, f"{other}/get_parameters", request, timeout_s)
    return {name: parameter_value_to_python(value) for name, value in zip(request.names, response.values)}
