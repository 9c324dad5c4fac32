"""Spins a node in a thread of its own.

What must be fast (observations, commands, results) has a node that one thread spins and whose callbacks never block.
What may block (a reset, a stop that lasts until the robot is at rest, a trial) has another node with several threads,
each entity in a group of its own. One node with rclpy's MultiThreadedExecutor would do both, slowly: every message
passes through two threads more, and one in a reentrant group stalls for up to a second (ros-jazzy-rclpy 7.1.6 on two
busy
cores: p99 from a command to its result 337 ms, against 6 ms with one thread).
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from rclpy.executors import Executor, ExternalShutdownException, MultiThreadedExecutor, SingleThreadedExecutor
from rclpy.node import Node


class Spinner:
    """Spins `node` until it is closed.

    Args:
        node: destroyed by `close`.
        threads: 1 when no callback blocks.
        on_error: called with the exception that a callback raised.
    """

    def __init__(self, node: Node, threads: int = 1, on_error: Callable[[BaseException], None] | None = None) -> None:
        context = node.context
        self._node, self._on_error = node, on_error
        self._executor: Executor = (
            SingleThreadedExecutor(context=context) if threads == 1 else MultiThreadedExecutor(threads, context=context)
        )
        self._executor.add_node(node)
        self._thread = threading.Thread(target=self._spin, name=f"spin {node.get_name()}", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Waits up to a second for a running callback, and destroys the node."""
        self._executor.shutdown(timeout_sec=1.0)
        self._thread.join(1.0)
        self._node.destroy_node()

    def _spin(self) -> None:
        try:
            self._executor.spin()
        except ExternalShutdownException:
            return
        except BaseException as error:
            if self._on_error:
                self._on_error(error)
            raise


def sibling_node(node: Node, name: str) -> Node:
    """Creates a second node in the namespace and context of `node`, without parameters and without its remappings."""
    return Node(
        f"{node.get_name()}_{name}",
        namespace=node.get_namespace(),
        context=node.context,
        use_global_arguments=False,
        start_parameter_services=False,
        enable_rosout=False,
    )
