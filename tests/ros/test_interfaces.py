"""Vendors' message packages where their workspaces are not: built from their definitions, with the vendors' names."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from ferry_ros import interfaces
from ferry_ros.interfaces.definitions import DEFINITIONS
from rclpy.serialization import deserialize_message, serialize_message
from ros_graph import ROOT


def test_a_built_message_is_the_vendors_on_the_wire() -> None:
    interfaces.ensure("interbotix_xs_msgs")
    from interbotix_xs_msgs.msg import JointGroupCommand  # type: ignore[import-not-found]

    command = JointGroupCommand(name="camera", cmd=[0.5, -0.25])
    wire = serialize_message(command)
    assert (
        wire.hex()
        == (
            "00010000"  # CDR, little endian
            "07000000" + b"camera\0".hex() + "00"  # string with its length, padded to 4 bytes
            "02000000" + "0000003f" + "000080be"  # two float32
        )
    )
    assert deserialize_message(wire, JointGroupCommand) == command


def test_services_and_constants_are_there() -> None:
    interfaces.ensure("interbotix_xs_msgs")
    interfaces.ensure("kobuki_ros_interfaces")
    from interbotix_xs_msgs.srv import RegisterValues, RobotInfo  # type: ignore[import-not-found]
    from kobuki_ros_interfaces.msg import BumperEvent  # type: ignore[import-not-found]

    assert RegisterValues.Request.get_fields_and_field_types()["reg"] == "string"
    assert RobotInfo.Response.get_fields_and_field_types()["joint_upper_limits"] == "sequence<float>"
    assert (BumperEvent.CENTER, BumperEvent.PRESSED) == (1, 1)


def test_an_action_is_built_whose_name_is_a_messages_too() -> None:
    interfaces.ensure("control_msgs")
    from control_msgs.action import GripperCommand  # type: ignore[import-not-found]

    goal = GripperCommand.Goal()
    goal.command.position = 0.5
    assert goal.command.get_fields_and_field_types() == {"position": "double", "max_effort": "double"}
    assert GripperCommand.Impl.SendGoalService.Request(goal=goal).goal == goal


@pytest.mark.parametrize("package", DEFINITIONS)
def test_ensuring_twice_changes_nothing(package: str) -> None:
    interfaces.ensure(package)
    before = list(sys.path)
    interfaces.ensure(package)
    assert sys.path == before


def ensured(environment: dict[str, str], folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Ensures a package in a new process, and prints the error."""
    script = f"""
from pathlib import Path
from ferry_ros import interfaces
try:
    interfaces.ensure("kobuki_ros_interfaces", {f"Path({str(folder)!r})" if folder else None})
except Exception as error:
    print(type(error).__name__, error)
"""
    path = os.pathsep.join((str(ROOT), str(ROOT / "ros2_ws" / "src" / "ferry_ros")))
    environment = {**os.environ, "PYTHONPATH": path, **environment}
    return subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, timeout=60)


def test_without_a_compiler_it_says_what_is_missing(tmp_path: Path) -> None:
    done = ensured({"PATH": str(tmp_path)}, tmp_path)
    assert done.stdout.startswith(
        "ConnectionFailed kobuki_ros_interfaces is not installed: source the workspace of the"
    )
    assert done.stdout.strip().endswith("Building it here failed: gcc, g++ not found")
    assert "building kobuki_ros_interfaces from its definitions" in done.stderr
    assert [one.name for one in tmp_path.iterdir()] == ["kobuki_ros_interfaces.lock"]


def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """As in a container with a read-only root; a file in the way of the folder fails for root too."""
    (tmp_path / "cache").write_text("")
    done = ensured({"XDG_CACHE_HOME": str(tmp_path / "cache")})
    assert done.stdout.startswith("ConnectionFailed kobuki_ros_interfaces is not installed")
    assert str(tmp_path / "cache" / "ferry" / "interfaces") in done.stdout
