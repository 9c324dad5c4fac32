"""How every node's process lives and ends.

A node that drives a robot must still be able to say "stop" after Ctrl-C. rclpy's own signal handlers shut the context
down first, after which nothing can be published; so the handlers here only end the wait, the node is closed while its
context still lives, and then the context ends. SIGTERM is treated like SIGINT.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Any

import rclpy
from rclpy.executors import ExternalShutdownException, MultiThreadedExecutor
from rclpy.signals import SignalHandlerOptions
from rclpy.utilities import try_shutdown

THREADS = 6


def run(create: Callable[[], Any], args: Sequence[str] | None = None) -> None:
    """Spins the node that `create` makes until it has finished or a signal comes, then closes it.

    The node has `finished`, an Event that it sets when its process may end, and `close(reason)`, called once while the
    context still lives. Raises SystemExit with its `exit_code` when that is not 0.
    """
    rclpy.init(args=None if args is None else list(args), signal_handler_options=SignalHandlerOptions.NO)
    try:
        node = create()
        _live(node, node.finished)
        if node.exit_code:
            raise SystemExit(node.exit_code)
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    finally:
        try_shutdown()


def _live(node: Any, finished: threading.Event) -> None:
    reason = ["the node has finished"]

    def end(number: int, _: FrameType | None) -> None:
        reason[0] = signal.Signals(number).name
        finished.set()

    signal.signal(signal.SIGINT, end)
    signal.signal(signal.SIGTERM, end)
    executor = MultiThreadedExecutor(THREADS)
    executor.add_node(node)
    spinning = threading.Thread(target=_spin, args=(executor, finished, reason), name="spin", daemon=True)
    spinning.start()
    try:
        finished.wait()
    finally:
        node.close(reason[0])
        executor.shutdown(timeout_sec=1.0)
        spinning.join(1.0)
        node.destroy_node()


def _spin(executor: MultiThreadedExecutor, finished: threading.Event, reason: list[str]) -> None:
    try:
        executor.spin()
    except ExternalShutdownException:
        pass
    except BaseException as error:  # a callback raised: the robot must stop and the process say why
        reason[0] = f"{type(error).__name__}: {error}"
        raise
    finally:
        finished.set()
