"""The ROS package: what it says of itself is there, it builds with colcon, and its executables run from the build."""

from __future__ import annotations

import ast
import os
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "ros2_ws" / "src" / "ferry_ros"
WINGS = (".", "nodes", "messages", "rclpy_support", "estop")
SOURCES = sorted(path for wing in WINGS for path in (PACKAGE / "ferry_ros" / wing).glob("*.py"))
EXECUTABLES = ("robot_node", "policy_node", "trial_node", "supervisor_node", "recorder_node", "watch_node", "estop_key")
APT = {"numpy": "python3-numpy", "cv2": "python3-opencv", "yaml": "python3-yaml"}
PIP = {"foxglove"}  # rosdep has no key for it; the extra `watch`
OURS = {"ferry_ros", "robots", "policy_server", "evaluation", "simulation"}


def imported(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.split(".")[0])
    return names


def test_package_xml_names_every_ros_package_that_is_imported() -> None:
    depends = {one.text for one in ET.parse(PACKAGE / "package.xml").getroot().iter("exec_depend")}
    used = set().union(*map(imported, SOURCES)) - OURS - PIP - set(sys.stdlib_module_names)
    used = {APT.get(name, name) for name in used}
    assert used <= depends, f"missing in package.xml: {used - depends}"


@pytest.mark.parametrize("name", EXECUTABLES)
def test_every_executable_has_a_main(name: str) -> None:
    assert f'"{name} = ferry_ros.nodes.{name}:main"' in (PACKAGE / "setup.py").read_text()
    tree = ast.parse((PACKAGE / "ferry_ros" / "nodes" / f"{name}.py").read_text())
    assert any(isinstance(node, ast.FunctionDef) and node.name == "main" for node in tree.body)


def test_it_builds_with_colcon_and_a_node_runs_from_the_build(tmp_path: Path) -> None:
    colcon = Path(sys.executable).with_name("colcon")
    command = [colcon, "--log-base", "log", "build", "--base-paths", PACKAGE, "--packages-select", "ferry_ros"]
    built = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert built.returncode == 0, built.stderr
    prefix = tmp_path / "install" / "ferry_ros"
    assert {one.name for one in (prefix / "share" / "ferry_ros" / "config").iterdir()} == {
        "policy_node.yaml",
        "recorder_node.yaml",
        "robot_node.yaml",
        "supervisor_node.yaml",
        "watch_node.yaml",
    }
    libraries = next(prefix.glob("lib/python*/site-packages"))
    path = os.pathsep.join((str(libraries), str(Path(__file__).parents[2])))
    parameters = ["--ros-args", "--params-file", str(prefix / "share" / "ferry_ros" / "config" / "robot_node.yaml")]
    with (tmp_path / "node.log").open("w") as log:
        executable = [sys.executable, str(prefix / "lib" / "ferry_ros" / "robot_node"), *parameters]
        node = subprocess.Popen(executable, env={**os.environ, "PYTHONPATH": path}, stdout=log, stderr=log)
    deadline = time.monotonic() + 30
    while "stretch_re1 is ready" not in (tmp_path / "node.log").read_text() and time.monotonic() < deadline:
        time.sleep(0.05)
    node.send_signal(signal.SIGINT)
    assert node.wait(10) == 0, (tmp_path / "node.log").read_text()
    assert "stretch_re1 is ready" in (tmp_path / "node.log").read_text()
