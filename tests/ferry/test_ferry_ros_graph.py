"""The launch files with their real nodes: rclpy, Fast DDS, a policy server and a body that moves without physics."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from bundles import write_tiny_bundle

from ferry.graph import free_port, running
from ferry.launcher.lookup import REPOSITORY

STRETCH = str(REPOSITORY / "launch" / "stretch.launch.xml")
PATIENCE_S = 240.0


@pytest.fixture
def arguments(tmp_path: Path) -> dict[str, str]:
    write_tiny_bundle(tmp_path / "tiny")
    return {
        "robot": "fake",
        "bundle": str(tmp_path / "tiny"),
        "server_port": str(free_port()),
        "instruction": "find a mug",
    }


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def said(log: Path, text: str) -> bool:
    return log.exists() and text in log.read_text()


def test_a_launch_plays_one_trial_and_ends(arguments: dict[str, str], tmp_path: Path) -> None:
    arguments |= {"run_once": "true", "max_steps": "5"}
    with running(STRETCH, arguments, tmp_path / "logs") as launch:
        assert launch.wait(PATIENCE_S) == 0
    assert said(tmp_path / "logs" / "policy_node.log", "trial ended: max_steps")
    assert said(tmp_path / "logs" / "robot_node.log", "stopped: SIGINT")
    assert said(
        tmp_path / "logs" / "launch.log", "[ferry run] policy_node ended with exit status 0: stopping the others"
    )


def test_a_killed_server_ends_the_launch_and_the_robot_is_told_to_stop(
    arguments: dict[str, str], tmp_path: Path
) -> None:
    logs = tmp_path / "logs"
    with running(STRETCH, arguments, logs) as launch:
        wait_for(lambda: said(logs / "policy_node.log", "active"))
        children = Path(f"/proc/{launch.pid}/task/{launch.pid}/children").read_text().split()
        (server,) = [pid for pid in children if "serve" in Path(f"/proc/{pid}/cmdline").read_text().split("\0")]
        os.kill(int(server), signal.SIGKILL)
        assert launch.wait(PATIENCE_S) == 128 + signal.SIGKILL
    assert said(logs / "robot_node.log", "stopped: SIGINT")
    assert not any(Path(f"/proc/{pid}").exists() for pid in children)


def test_the_real_stretch_without_its_driver_says_which_bodies_there_are(
    arguments: dict[str, str], tmp_path: Path
) -> None:
    del arguments["robot"]
    with running("stretch_re1", arguments, tmp_path / "logs") as launch:
        assert launch.wait(PATIENCE_S) == 1
    assert said(
        tmp_path / "logs" / "robot_node.log", "robot: got 'stretch_re1', expected one of fake, stretch_re1_twin"
    )
