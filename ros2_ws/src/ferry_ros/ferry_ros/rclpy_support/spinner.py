"""Spins a node in a thread of its own.

What must be fast (observations, commands, results) has a node that one thread spins and whose callbacks never block.
What may block (a reset, a stop that lasts until the robot is at rest, a trial) has another node with several threads,
each entity in a group of its own. One node with rclpy's MultiThreadedExecutor would do both, slowly: every message
passes through two threads more, and one in a reentrant group stalls for up to a second (ros-jazzy-rclpy 7.1.6 on two
busy cores: p99 from a command to its result 337 ms, against 6 ms with one thread).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from rclpy._rclpy_pybind11 import InvalidHandle  # rclpy.exceptions has it from Jazzy on
from rclpy.executors import (
    Executor,
    ExternalShutdownException,
    MultiThreadedExecutor,
    SingleThreadedExecutor,
)
from rclpy.node import Node

CLOSE_S = 1.0
"""The longest that the end of a spinner waits for a callback."""


class Spinner:
    """Spins `node` until it is closed.

    Args:
        node: destroyed by `close`.
        threads: 1 when no callback blocks.
        on_error: called with the exception that a callback raised.
    """

    def __init__(self, node: Node, threads: int = 1, on_error: Callable[[BaseException], None] | None = None) -> None:
        context = node.context
        self._node, self._on_error, self._closing = node, on_error, False
        self._executor: Executor = (
            SingleThreadedExecutor(context=context) if threads == 1 else MultiThreadedExecutor(threads, context=context)
        )
        self._executor.add_node(node)
        self._thread = threading.Thread(target=self._spin, name=f"spin {node.get_name()}", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Waits up to a second for a running callback, and destroys the node."""
        self._closing = True
        self._executor.shutdown(timeout_sec=CLOSE_S)
        self._thread.join(CLOSE_S)
        _settle(self._executor)
        self._node.destroy_node()

    def _spin(self) -> None:
        try:
            self._executor.spin()
        except ExternalShutdownException:
            return
        except BaseException as error:
            if self._closing and isinstance(error, InvalidHandle):
                return  # a callback that outlasted `close`: what it uses is destroyed
            if self._on_error:
                self._on_error(error)
            raise


def _settle(executor: Executor) -> None:
    """Waits for the callbacks that still run in a pool, and takes what they raise once their entity is destroyed.

    rclpy waits for none of them, and prints every exception that nobody took (ros-jazzy-rclpy 7.1.6, executors.py and
    task.py), also after an end that went well.
    """
    running, deadline = list(getattr(executor, "_futures", ())), time.monotonic() + CLOSE_S
    while any(not task.done() for task in running) and time.monotonic() < deadline:
        time.sleep(0.01)
    for task in [*running, *(task for task, _, _ in executor._tasks)]:
        if task.done() and isinstance(task._exception, InvalidHandle):
            task.exception()


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
