"""Start, spinning and shutdown of every node's process.

A node that drives a robot must still be able to send a stop after Ctrl-C. rclpy's own signal handlers shut the context
down first, after which nothing can be published; so the handlers here only end the wait, the node is closed while its
context still lives, and then the context ends. SIGTERM and SIGHUP are treated like SIGINT.

rclpy's logger writes with the interpreter locked: an output without a reader would freeze every thread, also the one
that stops the robot. So all output goes through a process beside this one (`robots.processes.drain`), which also writes
the log file.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import partial
from types import FrameType
from typing import Any

from rclpy.executors import ExternalShutdownException
from rclpy.logging import get_logger
from rclpy.utilities import try_shutdown

from ferry_ros.rclpy_support import shared_memory
from ferry_ros.rclpy_support.context import enter, log_file
from ferry_ros.rclpy_support.spinner import Spinner
from ferry_ros.rclpy_support.timer import steady_timer
from robots.errors import RobotError
from robots.processes.drain import drained
from robots.processes.signals import on_end
from simulation.errors import SimulationError

SIGNAL_S = 0.05
"""Period at which the main thread checks for signals: one that the kernel gives to another thread does not wake it, and
only it runs Python's handlers (one SIGINT in eight, to a robot_node, waited for the SIGTERM five seconds later)."""


MEMORY_S = 1.0
"""Period at which every node checks that its shared memory exists."""


def run(create: Callable[[], Any], args: Sequence[str] | None = None, threads: int = 1, aside: bool = True) -> None:
    """Spins the node that `create` makes until it has finished or a signal comes, then closes it.

    The node has `finished`, an Event that it sets when its process may end, and `close(reason)`, called once while the
    context still lives. A signal during the start waits until the node is there, as only then it can be closed; a
    second one does not. Raises SystemExit with its `exit_code` when that is not 0. Its output goes through a process
    `aside`, unless the node must know whether its output is read.
    """
    node: Any = None
    signals: list[str] = []

    def end(number: int, _: FrameType | None) -> None:  # takes no lock: this thread may hold it
        signals.append(signal.Signals(number).name)
        if node is None and len(signals) > 1:  # a start that does not end
            raise KeyboardInterrupt

    if os.isatty(2):  # from here on the logger's output is a pipe
        os.environ.setdefault("RCUTILS_COLORIZED_OUTPUT", "1")
    with drained(log_file(create.__module__)) if aside else nullcontext():
        enter(args)
        on_end(end)
        try:
            node = create()
            _live(node, signals, threads)
            if node.exit_code:
                raise SystemExit(node.exit_code)
        except (KeyboardInterrupt, ExternalShutdownException):
            pass
        except (RobotError, SimulationError) as error:  # a failed start is logged in one line
            get_logger(create.__name__).fatal(f"{type(error).__name__}: {error}")
            raise SystemExit(1) from None
        finally:
            try_shutdown()


def fail(node: Any, error: BaseException) -> None:
    """Ends the process of `node` for what a callback of it raised: a node that serves no more must not go on."""
    if not node.finished.is_set():
        node.failure, node.exit_code = f"{type(error).__name__}: {error}", 1
        node.finished.set()
        node.get_logger().fatal(node.failure)


def _check_memory(node: Any, reported: list[str]) -> None:
    """Logs once that nodes which start from now on will not receive from this one."""
    if not reported and (gone := shared_memory.missing()):
        reported.append(gone)
        node.get_logger().error(gone)


def _live(node: Any, signals: list[str], threads: int) -> None:
    steady_timer(node, MEMORY_S, partial(_check_memory, node, []))
    spinner = Spinner(node, threads, on_error=partial(fail, node))
    try:
        while not signals and not node.finished.wait(SIGNAL_S):
            pass
    finally:
        node.finished.set()
        node.close(getattr(node, "failure", "") or (signals[-1] if signals else "the node has finished"))
        spinner.close()
