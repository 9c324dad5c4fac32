"""Node of a driver: its link to the vendor's nodes, with a context and a spinning thread of its own.

So it works with and without a ROS process around it, outlives the shutdown of that process's context, so that the robot
can still be stopped, and ignores remappings that are meant for another node.
"""

from __future__ import annotations

import os
from typing import Any

from rclpy.context import Context
from rclpy.node import Node
from std_srvs.srv import Trigger

from ferry_ros.rclpy_support import services
from ferry_ros.rclpy_support.spinner import Spinner
from robots.errors import RobotError
from robots.processes.lock import Lock, claim


def claim_in_domain(kind: str, namespace: str) -> Lock:
    """Claims a robot behind ROS topics; robots in different domains may have the same namespace."""
    return claim(f"{kind} domain {os.environ.get('ROS_DOMAIN_ID') or '0'} {namespace.strip('/')}".strip())


class Link:
    """Node called `name` in `namespace`; close it. Create the subscriptions, then call `spin`."""

    def __init__(self, name: str, namespace: str = "") -> None:
        self._context = Context()
        self._context.init(args=[])
        self.node = Node(
            name,
            namespace=namespace,
            context=self._context,
            use_global_arguments=False,
            start_parameter_services=False,
            enable_rosout=False,
        )
        self._spinner: Spinner | None = None

    def spin(self) -> None:
        """Starts receiving messages."""
        self._spinner = Spinner(self.node)

    def close(self) -> None:
        """Destroys the node and its context."""
        if self._spinner:
            self._spinner.close()
        else:
            self.node.destroy_node()
        self._context.try_shutdown()

    def trigger(self, client: Any, timeout_s: float) -> str:
        """Calls a Trigger service and returns its message; not from a callback.

        Raises ConnectionFailed when no node offers it, RobotError when it does not answer in time or fails.
        """
        response = services.call(client, Trigger.Request(), timeout_s)
        if not response.success:
            raise RobotError(f"{client.srv_name}: got failure '{response.message}', expected success")
        return str(response.message)
