"""Killed processes: the driver's, and the server's."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from pyrobot_fake import SMALL, process, trace_of

from robots.command import LookAt, RotateBase
from robots.drivers.pyrobot.driver import PyrobotLocobot, PyrobotOptions
from robots.drivers.pyrobot.link import ConnectionLost, Refused
from robots.errors import ConnectionFailed, RobotError
from robots.fakes.pyrobot.arm import CLOSED, OPEN
from robots.fakes.pyrobot.process import Robot, main
from robots.observation import Observation

CLIENT = """
import sys
from robots.command import RotateBase
from robots.drivers.pyrobot.driver import PyrobotLocobot, PyrobotOptions
robot = PyrobotLocobot(PyrobotOptions(address=sys.argv[1]))
robot.connect()
print("connected", flush=True)
while True:
    robot.execute(RotateBase(0.5))
"""


def test_a_server_killed_in_a_motion_is_a_connection_lost() -> None:
    with process() as (address, server):
        robot = PyrobotLocobot(PyrobotOptions(address=address, **SMALL))
        robot.connect()
        threading.Timer(0.4, lambda: os.kill(server.pid, signal.SIGKILL)).start()
        sent = robot.execute(RotateBase(0.5))
        assert sent.blocked.startswith("lost: ")
        assert robot.health().fault.startswith("lost: ")
        with pytest.raises(ConnectionLost, match="lost: "):
            robot.observe()
        assert robot.execute(LookAt(0.1, 0.0)).blocked.startswith("lost: ")
        robot.stop()
        robot.disconnect()
        with pytest.raises(ConnectionFailed, match=r"is pyrobot_server running"):
            robot.connect()


def test_a_server_that_hangs_is_stale_then_lost() -> None:
    with process() as (address, server):
        robot = PyrobotLocobot(PyrobotOptions(address=address, timeout_s=1.0, **SMALL))
        robot.connect()
        os.kill(server.pid, signal.SIGSTOP)
        faults = []
        deadline = time.monotonic() + 6
        while not faults or not faults[-1].startswith("lost: "):
            assert time.monotonic() < deadline, faults
            time.sleep(0.05)
            faults.append(robot.health().fault)
        assert any(fault.startswith("feedback stale: no beat for") for fault in faults)
        os.kill(server.pid, signal.SIGCONT)
        robot.disconnect()
        with robot:  # the server noticed too, and takes a new client
            assert seen_within(robot, 5.0).images


def test_a_server_that_is_started_again_is_connected_to_again() -> None:
    with process() as (address, server):
        robot = PyrobotLocobot(PyrobotOptions(address=address, **SMALL))
        robot.connect()
        server.kill()
        server.wait()
        with pytest.raises(ConnectionLost):
            robot.observe()
    with process("--port", address.rpartition(":")[2]):
        deadline = time.monotonic() + 10
        while robot.health().fault:
            assert time.monotonic() < deadline, robot.health()
            time.sleep(0.1)
            with contextlib.suppress(RobotError):
                robot.observe()
        assert robot.execute(RotateBase(0.1)).executed
        robot.disconnect()


def seen_within(robot: PyrobotLocobot, timeout_s: float) -> Observation:
    """The first observation; right after a freeze the camera counts as frozen until its next image."""
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            return robot.observe()
        except Refused:
            assert time.monotonic() < deadline


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_a_client_killed_or_frozen_in_a_motion_leaves_a_base_at_rest(tmp_path: Path, number: signal.Signals) -> None:
    trace = tmp_path / "trace.jsonl"
    with process("--trace", str(trace)) as (address, _):
        client = subprocess.Popen([sys.executable, "-c", CLIENT, address], stdout=subprocess.PIPE, text=True)
        assert client.stdout is not None
        try:
            assert client.stdout.readline() == "connected\n"
            deadline = time.monotonic() + 10
            while abs(trace_of(trace)[-1]["speed"][1]) < 0.2:
                assert time.monotonic() < deadline
                time.sleep(0.02)
            os.kill(client.pid, number)
            killed_s = time.monotonic()
            time.sleep(1.5)
            after = [line for line in trace_of(trace) if line["at_s"] > killed_s]
        finally:
            client.kill()
            client.wait()
            client.stdout.close()
    moving = [line["at_s"] for line in after if line["speed"] != [0.0, 0.0]]
    assert after[-1]["speed"] == [0.0, 0.0] == after[-1]["commanded"]
    stood_s = (moving[-1] if moving else killed_s) - killed_s
    assert stood_s < 1.0, "the base's own time limit is 2 s: it was stopped before"


def test_a_server_that_is_told_to_end_leaves_a_base_at_rest(tmp_path: Path) -> None:
    trace = tmp_path / "trace.jsonl"
    with process("--trace", str(trace)) as (address, server):
        robot = PyrobotLocobot(PyrobotOptions(address=address, **SMALL))
        robot.connect()
        threading.Timer(0.4, server.terminate).start()
        assert robot.execute(RotateBase(0.5)).blocked.startswith("lost: ")
        assert server.wait(10) == 0
        robot.disconnect()
    assert trace_of(trace)[-1]["speed"] == [0.0, 0.0]


def test_the_fake_says_what_it_takes(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    shown = capsys.readouterr().out
    for word in ("--port", "--trace", "--latency-s", "--freeze-camera-after-s", "--cliff-after-m", "--arena-m"):
        assert word in shown


def test_the_fake_has_pyrobots_own_parts() -> None:
    with pytest.raises(ValueError, match="Invalid robot name"):
        Robot("sawyer")
    robot = Robot()
    assert robot.arm.set_joint_positions([0.1] * 5)
    assert not robot.arm.set_joint_positions([2.0] * 5)
    assert robot.arm.get_joint_angles() == [0.1] * 5
    assert robot.arm.go_home()
    robot.gripper.open()
    assert robot.gripper.get_gripper_state() == OPEN
    robot.gripper.close()
    assert robot.gripper.get_gripper_state() == CLOSED
    robot.camera.set_pan(9.0, wait=False)  # wrapped to 2.717, then clipped
    assert robot.body.head_goal[0] == 2.6
    robot.camera.reset()
    robot.end()
    bare = Robot(use_arm=False)
    assert not hasattr(bare, "arm")
    assert not hasattr(bare, "gripper")
    bare.end()
