"""The end of a spinner, with callbacks that are still running."""

from __future__ import annotations

import os
import subprocess
import sys

from ros_graph import ROOT

END = """
import threading, time, rclpy
from ferry_ros.rclpy_support.spinner import Spinner
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.node import Node

rclpy.init()
node = Node("ends")
spinner, began = Spinner(node, threads=2), threading.Event()


def late():
    began.set()
    time.sleep(0.3)
    print("ended", flush=True)
    with timer.handle:  # what rclpy does with an entity after its callback
        pass


timer = node.create_timer(0.01, late, callback_group=ReentrantCallbackGroup())
assert began.wait(60.0)
timer.destroy()
spinner.close()
print("closed", flush=True)
rclpy.try_shutdown()
"""


def test_a_callback_that_runs_at_the_end_is_awaited_and_what_was_destroyed_under_it_is_no_news() -> None:
    path = os.pathsep.join((str(ROOT), str(ROOT / "ros2_ws" / "src" / "ferry_ros")))
    done = subprocess.run(
        [sys.executable, "-c", END], env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, timeout=120
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1] == "closed"
    assert "ended" in done.stdout
