"""Faults after which nobody reads what the nodes write: a log grows beside a moving body, then comes the e-stop."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from ferry_ros.messages import convert, qos
from ferry_ros.rclpy_support.spinner import sibling_node
from trajectory_msgs.msg import JointTrajectory

from benchmarks.faults.attempt import MESSAGE_CHARS, Fault, Seen, stood, under_way
from benchmarks.faults.line import Line, wait
from robots.command import MoveBase
from robots.errors import RobotError
from robots.execution.command_request import CommandRequest

RATE_HZ = 200.0
"""Of the commands that the robot node refuses, a line of its log each. At 1 kHz they would keep the policy's own from
coming through, and the robot would stand before the e-stop is pressed."""

LINES = 1200
"""Half of them long, some 600 kB in all: a pipe holds 64 KiB, and `ferry run` reads up to 128 KiB ahead."""

GROW_S = 25.0
"""By then they are sent, also on a busy machine."""

WORD = "x" * 800
"""A frame that does not exist is logged as it came."""

HEARD_S = 4.0
"""The robot node tells its state once a second at least."""

MOVES_S = 12.0


def estop_beside(line: Line, fault: Fault) -> Seen:
    """Plants the fault, lets the log grow, and measures from the e-stop on, with the log still growing.

    A launch that ends in order, since nobody reads it, is measured from the fault on.
    """
    fault_s = time.monotonic()
    fault.plant(line)
    with talking(line) as sent:
        wait(lambda: sent() >= LINES, GROW_S)
        if line.launch and line.launch.process.poll() is not None:
            return _ended(line, fault_s)
        still = _still(line)
        estop_s = time.monotonic()
        line.estop()
        heard = wait(lambda: line.latched(estop_s), HEARD_S)
        silent_s = time.monotonic() - line.beat_s
        time.sleep(max(0.0, estop_s + 1.5 - time.monotonic()))
    seen = stood(line, estop_s)
    unheard = f"e-stop not heard within {HEARD_S} s, no heartbeat for {silent_s:.1f} s"
    return replace(seen, trouble="; ".join(one for one in ("" if heard else unheard, still) if one))


@contextmanager
def talking(line: Line) -> Iterator[Callable[[], int]]:
    """Commands without a fresh observation, and such that are none, each refused and logged; yields how many so far."""
    node, ended = sibling_node(line.here.node, "talker"), threading.Event()
    publisher = node.create_publisher(JointTrajectory, "command", qos.NEWEST)

    number = 0

    def talk() -> None:
        nonlocal number
        while not ended.wait(1.0 / RATE_HZ):
            number += 1
            message = convert.request_msg(CommandRequest(number, MoveBase(0.1), 0.5))
            if number % 2:
                message.header.frame_id = f"{number} {WORD}"
            publisher.publish(message)

    talker = threading.Thread(target=talk, daemon=True)
    talker.start()
    try:
        yield lambda: number
    finally:
        ended.set()
        talker.join()
        node.destroy_node()


def _still(line: Line) -> str:
    """Gets the robot moving, where its trial did not last until now; returns why it does not."""
    if wait(line.truth.moving, 4.0):
        return ""
    try:
        under_way(line, within_s=MOVES_S)
    except (TimeoutError, RobotError) as error:
        return f"nothing moved before the e-stop: {str(error)[:MESSAGE_CHARS]}"
    return ""


def _ended(line: Line, fault_s: float) -> Seen:
    assert line.launch is not None
    seen = stood(line, fault_s)
    trouble = "" if line.launch.gone() else f"still running: {line.launch.alive()}"
    status = line.launch.process.returncode
    return replace(seen, reason=f"launch ended with {status}; {seen.reason}", trouble=trouble)
