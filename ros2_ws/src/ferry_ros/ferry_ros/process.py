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
from rclpy.executors import ExternalShutdownException
from rclpy.signals import SignalHandlerOptions
from rclpy.utilities import try_shutdown

from ferry_ros.spinner import Spinner


def run(create: Callable[[], Any], args: Sequence[str] | None = None, threads: int = 1) -> None:
    """Spins the node that `create` makes until it has finished or a signal comes, then closes it.

    The node has `finished`, an Event that it sets when its process may end, and `close(reason)`, called once while the
    context still lives. Raises SystemExit with its `exit_code` when that is not 0.
    """
    rclpy.init(args=None if args is None else list(args), signal_handler_options=SignalHandlerOptions.NO)
    try:
        node = create()
        _live(node, node.finished, threads)
        if node.exit_code:
            raise SystemExit(node.exit_code)
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    finally:
        try_shutdown()


def _live(node: Any, finished: threading.Event, threads: int) -> None:
    reason = ["the node has finished"]

    def end(number: int, _: FrameType | None) -> None:
        reason[0] = signal.Signals(number).name
        finished.set()

    def fail(error: BaseException) -> None:
        reason[0] = f"{type(error).__name__}: {error}"
        node.exit_code = 1
        finished.set()

    signal.signal(signal.SIGINT, end)
    signal.signal(signal.SIGTERM, end)
    spinner = Spinner(node, threads, on_error=fail)
    try:
        finished.wait()
    finally:
        node.close(reason[0])
        spinner.close()
