"""How every node's process lives and ends.

A node that drives a robot must still be able to say "stop" after Ctrl-C. rclpy's own signal handlers shut the context
down first, after which nothing can be published; so the handlers here only end the wait, the node is closed while its
context still lives, and then the context ends. SIGTERM and SIGHUP are treated like SIGINT.

rclpy's logger writes with the interpreter locked: an output that nobody reads would freeze every thread, also what
stops the robot. So all output goes through a process beside this one (`robots.processes.drain`), which also writes the
log file.
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

LOOK_S = 0.05
"""How often the main thread looks for a signal: one that the kernel hands to another thread does not wake it, and only
it runs Python's handlers (one SIGINT in eight, to a robot_node, waited for the SIGTERM five seconds later)."""


MEMORY_S = 1.0
"""How often every node looks whether its shared memory is still there."""


def run(create: Callable[[], Any], args: Sequence[str] | None = None, threads: int = 1, aside: bool = True) -> None:
    """Spins the node that `create` makes until it has finished or a signal comes, then closes it.

    The node has `finished`, an Event that it sets when its process may end, and `close(reason)`, called once while the
    context still lives. A signal during the start waits until the node is there, as only then it can be closed; a
    second one does not. Raises SystemExit with its `exit_code` when that is not 0. Its output goes through a process
    `aside`, unless it has to know whether somebody reads it.
    """
    node: Any = None
    signals: list[str] = []

    def end(number: int, _: FrameType | None) -> None:  # takes no lock: this thread may hold it
        signals.append(signal.Signals(number).name)
        if node is None and len(signals) > 1:  # a start that does not end
            raise KeyboardInterrupt

    if os.isatty(2):  # the logger sees a pipe from here on
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
        except (RobotError, SimulationError) as error:  # what keeps it from starting is told in one line
            get_logger(create.__name__).fatal(f"{type(error).__name__}: {error}")
            raise SystemExit(1) from None
        finally:
            try_shutdown()


def fail(node: Any, error: BaseException) -> None:
    """Ends the process of `node` for what a callback of it raised: a node that serves no more must not go on."""
    node.failure, node.exit_code = f"{type(error).__name__}: {error}", 1
    node.finished.set()


def _look_at_memory(node: Any, told: list[str]) -> None:
    """Tells once that nodes which start from now on will not hear this one."""
    if not told and (gone := shared_memory.missing()):
        told.append(gone)
        node.get_logger().error(gone)


def _live(node: Any, signals: list[str], threads: int) -> None:
    steady_timer(node, MEMORY_S, partial(_look_at_memory, node, []))
    spinner = Spinner(node, threads, on_error=partial(fail, node))
    try:
        while not signals and not node.finished.wait(LOOK_S):
            pass
    finally:
        node.finished.set()
        node.close(getattr(node, "failure", "") or (signals[-1] if signals else "the node has finished"))
        spinner.close()
