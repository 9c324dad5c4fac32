"""Where ROS 2's own `launch` can be imported, our launch files come to the same processes there as here.

Elsewhere this file holds no test, so that none is skipped: what it would need cannot be installed by pip.
"""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import yaml

from ferry.launcher.lookup import REPOSITORY, Lookup, console_scripts
from ferry.launcher.plan import plan

CASES: list[tuple[str, dict[str, str]]] = [
    ("stretch_twin", {}),
    ("stretch_twin", {"serve": "false", "server_url": "http://gpu:8000", "instruction": "find a mug", "seed": "7"}),
    ("stretch_re1", {"namespace": "/lab/stretch", "control_period_s": "1", "sampling": "uniform"}),
    ("stretch_re1", {"robot": "fake", "fake_folder": "/tmp/f"}),
    ("stretch_re1", {"robot": "fake", "driver": "stretch_ros2", "mode": "slow"}),
    ("locobot", {"robot_name": "/my_robot"}),
    ("locobot", {"robot": "twin"}),
    ("locobot", {"robot": "fake"}),
    ("locobot", {"robot": "fake", "driver": "pyrobot", "policy": "0"}),
    ("piper", {"serve": "True", "bundle": "mine", "record": "runs/piper"}),
    ("piper", {"robot": "twin"}),
    ("piper", {"robot": "fake", "channel": "239.74.163.2:50000", "scene_camera": ""}),
    ("ros2_control_arm", {"arm": "fr3", "arm_namespace": "/left"}),
    ("ros2_control_arm", {"robot": "fake"}),
    ("ros2_control_arm", {"robot": "fake", "arm_namespace": "/left"}),
    ("fake", {"run_once": "true"}),
    ("policy_server", {"port": "9000", "host": "0.0.0.0"}),
]

RECORD = """#!{python}
import json, os, pathlib, sys, time
words = [pathlib.Path(sys.argv[0]).name, *sys.argv[1:]]
path = pathlib.Path({out!r}, "_".join(word for word in words[:2] if not word.startswith("-")))
path.write_text(json.dumps(sys.argv[1:]))
while len(list(path.parent.iterdir())) < int(os.environ["PROCESSES"]) or path.name != os.environ["FIRST"]:
    time.sleep(0.05)
"""
"""An executable that writes down its arguments and stays; FIRST ends when all have, and the launch with it."""

RUN = """
import sys
from launch import LaunchDescription, LaunchService
from launch.actions import IncludeLaunchDescription
from launch.launch_description_sources import AnyLaunchDescriptionSource
arguments = [tuple(word.split(":=", 1)) for word in sys.argv[2:]]
service = LaunchService(noninteractive=True)
source = AnyLaunchDescriptionSource(sys.argv[1])
service.include_launch_description(LaunchDescription([IncludeLaunchDescription(source, launch_arguments=arguments)]))
sys.exit(service.run())
"""


def make_prefix(root: Path) -> tuple[Path, Path]:
    """Writes a colcon prefix in which every executable only writes down its arguments; returns it and where."""
    out = root / "out"
    out.mkdir()
    for package in ("ferry_ros", "ferry_bringup"):
        marker = root / "share" / "ament_index" / "resource_index" / "packages" / package
        marker.parent.mkdir(parents=True, exist_ok=True)
        marker.touch()
        (root / "share" / package).symlink_to(REPOSITORY / "ros2_ws" / "src" / package)
    for folder, names in {
        "lib/ferry_ros": [*console_scripts(REPOSITORY / "ros2_ws/src/ferry_ros/setup.py")],
        "bin": ["ferry"],
    }.items():
        (root / folder).mkdir(parents=True)
        for name in names:
            (root / folder / name).write_text(RECORD.format(python=sys.executable, out=str(out)))
            (root / folder / name).chmod(0o755)
    return root, out


def meaning(words: list[str]) -> dict[str, Any]:
    """Returns what a node's arguments say, however they are written: remappings and parameters."""
    given: dict[str, Any] = {"words": [], "remaps": [], "parameters": {}}
    pairs = itertools.chain(words, [""])
    for word in pairs:
        if word == "-r":
            given["remaps"].append(next(pairs))
        elif word == "-p":
            name, _, value = next(pairs).partition(":=")
            given["parameters"][name] = yaml.safe_load(value)
        elif word == "--params-file":
            for section in yaml.safe_load(Path(next(pairs)).read_text()).values():
                given["parameters"].update(section["ros__parameters"])
        elif word not in ("", "--ros-args"):
            given["words"].append(word)
    return given


def name_of(command: Sequence[str]) -> str:
    """The file that the command of a process writes: its program, and its verb where it has one."""
    return "_".join((Path(command[0]).name, *(word for word in command[1:2] if not word.startswith("-"))))


def run_real_launch(file: Path, arguments: dict[str, str], prefix: Path, names: list[str]) -> None:
    """Runs ROS's launch until the first of the processes `names` has ended it."""
    environment = {**os.environ, "PROCESSES": str(len(names)), "FIRST": names[-1]}
    environment["AMENT_PREFIX_PATH"] = f"{prefix}{os.pathsep}{environment.get('AMENT_PREFIX_PATH', sys.prefix)}"
    environment["PATH"] = f"{prefix / 'bin'}{os.pathsep}{environment['PATH']}"
    environment["ROS_LOG_DIR"] = str(prefix / "log")
    words = [f"{name}:={value}" for name, value in arguments.items()]
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", RUN, str(file), *words],
        env=environment, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


if find_spec("launch_xml") is not None and find_spec("launch_ros") is not None:
    import pytest

    @pytest.mark.parametrize(("name", "arguments"), CASES)
    def test_the_real_launch_starts_the_same_processes(tmp_path: Path, name: str, arguments: dict[str, str]) -> None:
        prefix, out = make_prefix(tmp_path)
        file = REPOSITORY / "launch" / f"{name}.launch.xml"
        planned = plan(file, arguments, Lookup((prefix,)))
        ours = {name_of(process.command): meaning(list(process.arguments)) for process in planned}
        run_real_launch(file, arguments, prefix, list(ours))
        theirs = {path.name: meaning(json.loads(path.read_text())) for path in out.iterdir()}
        assert ours == theirs
