"""Two launches of one machine do not share a robot or a port, and a launch is found by this machine alone."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

import pytest

from ferry.errors import LaunchError, UsageError
from ferry.graph import free_port
from ferry.launcher.lookup import REPOSITORY, Lookup
from ferry.launcher.main import RANGE, discovery
from ferry.launcher.plan import Process, plan
from ferry.launcher.taken import taken

LAUNCH = REPOSITORY / "launch"


def planned(name: str = "fake", **arguments: str) -> tuple[Process, ...]:
    return plan(LAUNCH / f"{name}.launch.xml", {"server_port": str(free_port()), **arguments}, Lookup(()))


@pytest.fixture(autouse=True)
def domain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROS_DOMAIN_ID", f"of {os.getpid()}")


def test_a_second_launch_in_a_namespace_is_refused_and_names_the_first() -> None:
    with taken(planned(namespace="/a")):
        with (
            pytest.raises(UsageError, match=rf"/a/robot_node of ROS domain .* \(pid {os.getpid()}\)"),
            taken(planned(namespace="/a")),
        ):
            pass
        with taken(planned(namespace="/b")):
            pass
    with taken(planned(namespace="/a")):
        pass


def test_another_domain_is_another_robot(monkeypatch: pytest.MonkeyPatch) -> None:
    with taken(planned()):
        with pytest.raises(UsageError), taken(planned()):
            pytest.fail("the same robot was taken twice")
        monkeypatch.setenv("ROS_DOMAIN_ID", f"other of {os.getpid()}")
        with taken(planned()):
            pass


def test_a_port_that_has_a_listener_is_refused_before_anything_starts() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        command = [sys.executable, "-m", "ferry", "run", "fake", f"server_port:={port}"]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 2
    assert len(ended.stderr.splitlines()) == 1
    assert f"port {port} of 127.0.0.1: Address already in use" in ended.stderr
    assert ended.stdout == ""


def test_a_second_launch_with_the_same_server_is_told_which_has_it() -> None:
    port = str(free_port())
    second = planned("policy_server", port=port)
    with taken(planned(server_port=port)), pytest.raises(UsageError, match=f"port {port} .*pid "), taken(second):
        pass


@pytest.mark.parametrize(
    ("given", "asked", "expected"),
    [
        (None, "environment", "LOCALHOST"),
        (None, "subnet", "SUBNET"),
        ("SUBNET", "environment", "SUBNET"),
        ("SUBNET", "localhost", "LOCALHOST"),
        ("OFF", "environment", "OFF"),
    ],
)
@pytest.mark.parametrize("name", ["fake", "stretch_twin", "locobot", "piper", "ros2_control_arm"])
def test_who_finds_the_nodes(
    name: str, given: str | None, asked: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(RANGE, raising=False)
    if given:
        monkeypatch.setenv(RANGE, given)
    processes = planned(name, discovery=asked)
    assert {one.environment[RANGE] for one in processes} == {expected}
    assert not any("ROS_LOCALHOST_ONLY" in one.environment for one in processes)
    texts = {"LOCALHOST": "this machine only", "SUBNET": "every machine of this network", "OFF": f"{RANGE}=OFF"}
    assert discovery(processes).startswith(f"DDS: {texts[expected]}")


def test_humble_gets_its_own_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROS_DISTRO", "humble")
    assert {one.environment["ROS_LOCALHOST_ONLY"] for one in planned(discovery="localhost")} == {"1"}
    assert not any("ROS_LOCALHOST_ONLY" in one.environment for one in planned(discovery="subnet"))


READ = """
import sys
import rclpy
rclpy.init(args=sys.argv)
print(ascii(rclpy.create_node("reader").declare_parameter("instruction", "").value))
"""


def test_every_text_reaches_a_node_as_it_was_written() -> None:
    text = 'find a mug \U0001f964 or \u043a\u0440\u0443\u0436\u043a\u0430 \\ud83e " \x85 \u2028 \x7f\t'
    process = next(one for one in planned(instruction=text) if one.name == "policy_node")
    at = next(at for at, word in enumerate(process.arguments) if word.startswith("instruction:="))
    command = [sys.executable, "-c", READ, "--ros-args", "-p", process.arguments[at]]
    environment = {**os.environ, "ROS_DOMAIN_ID": "27"}
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment)
    assert ended.stdout.strip() == ascii(text), ended.stderr


def test_a_text_that_is_no_utf_8_is_refused() -> None:
    with pytest.raises(LaunchError, match="parameter 'instruction' is not valid UTF-8"):
        planned(instruction="find a mug \udcff")
