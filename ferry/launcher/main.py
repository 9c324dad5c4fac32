"""`ferry run`: runs a launch file."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from collections.abc import Sequence
from importlib import util
from pathlib import Path

from ferry.errors import LaunchError, UsageError, Where, nearest
from ferry.help import Parser
from ferry.launcher.arguments import declared, describe, parse_assignments
from ferry.launcher.lookup import REPOSITORY, Lookup
from ferry.launcher.plan import Process, defaults, plan
from ferry.launcher.requirements import missing
from ferry.launcher.run import RunOptions, run
from ferry.launcher.taken import taken

RANGE = "ROS_AUTOMATIC_DISCOVERY_RANGE"
SUFFIX = ".launch.xml"


def main(argv: Sequence[str] | None = None) -> int:
    """Runs `ferry run`; returns the exit status of the launch, 1 at once if the robot's packages are not installed."""
    options = _parser().parse_intermixed_args(argv)
    lookup = Lookup.from_environment()
    file = find_launch_file(options.launch, lookup)
    arguments = declared(file, lookup)
    if options.show_args:
        values = defaults(file, parse_assignments(options.arguments, file, arguments), lookup)
        print(f"Arguments of {file} (name:=value):\n{describe(arguments.values(), values)}")
        return 0
    processes = plan(file, parse_assignments(options.arguments, file, arguments), lookup)
    if options.dry_run:
        print("\n".join(map(describe_process, processes)))
        return 0
    _need_ros(processes)
    if lacking := missing(processes):
        print(f"ferry run: {lacking}", file=sys.stderr)
        return 1
    with taken(processes):
        print(discovery(processes), end="", flush=True)
        return run(processes, RunOptions(log_dir=options.log_dir))


def find_launch_file(name: str, lookup: Lookup) -> Path:
    """Returns the launch file of a name (`stretch_twin`) or of a path.

    Raises:
        UsageError: there is none.
    """
    if name.endswith(".xml") or "/" in name:
        if not Path(name).is_file():
            raise UsageError(f"no such launch file: {name}")
        return Path(name)
    folders = [prefix / "share" / "ferry_bringup" / "launch" for prefix in lookup.prefixes] + [REPOSITORY / "launch"]
    files = {file.name[: -len(SUFFIX)]: file for folder in reversed(folders) for file in folder.glob(f"*{SUFFIX}")}
    if name not in files:
        listed = ", ".join(sorted(files)) or "none"
        if not name:
            raise UsageError(f"missing: the name of a launch file; available: {listed}")
        raise UsageError(f"no launch file named {name!r}; available: {listed}{nearest(name, files)}")
    return files[name]


def describe_process(process: Process) -> str:
    """Returns a process as text: its name, its position in the launch file, its environment and its command line."""
    environment = {**process.program.environment, **process.environment}
    words = [f"{name}={shlex.quote(value)}" for name, value in environment.items()]
    words += map(shlex.quote, process.command)
    return f"[{process.name}] {process.where}\n    {' '.join(words)}"


def discovery(processes: Sequence[Process]) -> str:
    """Returns one line on which machines can discover the launch's nodes; empty if it has no nodes."""
    nodes = [process for process in processes if "/" in process.origin]
    reach = next((node.environment[RANGE] for node in nodes if RANGE in node.environment), "")
    domain = os.environ.get("ROS_DOMAIN_ID") or "0"
    lines = {
        "": "",
        "LOCALHOST": "DDS: this machine only; discovery:=subnet lets other machines of ROS domain "
        f"{domain} find and drive this robot\n",
        "SUBNET": f"DDS: every machine of this network in ROS domain {domain} can find and drive this robot\n",
    }
    return lines.get(reach, f"DDS: {RANGE}={reach} sets which machines of ROS domain {domain} find this robot\n")


def _need_ros(processes: Sequence[Process]) -> None:
    ours = (process for process in processes if process.program.words[0] == sys.executable and "/" in process.origin)
    needs = next(ours, None)
    if needs is not None and util.find_spec("rclpy") is None:
        what = "ROS 2 is not installed: `pip install -e .[ros]`, or source a ROS 2 Humble or Jazzy setup"
        raise LaunchError(Where(needs.where.file, needs.where.line), what, needs.origin)


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="ferry run",
        description="Runs a ROS 2 launch file where `ros2 launch` is not installed.",
    )
    parser.add_argument("launch", nargs="?", default="", help="name of a file in launch/ (stretch_twin), or a path")
    parser.add_argument("arguments", nargs="*", metavar="name:=value", help="arguments of the launch file")
    parser.add_argument("-s", "--show-args", action="store_true", help="list the launch file's arguments and exit")
    parser.add_argument("-n", "--dry-run", action="store_true", help="print the processes that would start and exit")
    parser.add_argument("--log-dir", type=Path, help="folder for the logs, one file per process")
    return parser
