"""`ferry doctor`: checks what this machine needs, and says what to type where something is missing."""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path

DISK_GB = 2.0
"""Free space below which a run's videos and a mesh cache may not fit."""
CLOCK_SKEW_S = 2.0
"""Difference to the server's clock above which logs of the two machines can no longer be read side by side."""
TIMEOUT_S = 60.0

_IMPORT_ROS = "import rclpy; rclpy.init(); rclpy.create_node('ferry_doctor').destroy_node(); rclpy.shutdown()"
_DRAW = "from simulation.gl import make_current; make_current()"


class CheckFailed(Exception):
    """A check found something missing; `fix` is what to type."""

    def __init__(self, found: str, fix: str) -> None:
        super().__init__(found)
        self.fix = fix


@dataclass(frozen=True)
class Machine:
    """What is checked."""

    folder: Path
    server: str | None = None
    python: tuple[int, ...] = sys.version_info[:3]


def check_python(machine: Machine) -> str:
    """Checks that Python is new enough: 3.10 on a robot's computer, 3.11 where policies are trained and served."""
    version = ".".join(map(str, machine.python))
    if machine.python < (3, 10):
        raise CheckFailed(version, "install a newer one: apt-get install -y python3.11 python3.11-venv")
    return version if machine.python >= (3, 11) else f"{version}: drives a robot; training and serving want 3.11"


def check_gl(_machine: Machine) -> str:
    """Checks that MuJoCo can draw without a display."""
    run_python(_DRAW, "apt-get install -y libegl1 libgl1-mesa-dri; pip install -e '.[sim]'")
    return "MuJoCo draws without a display"


def check_ros(_machine: Machine) -> str:
    """Checks that a ROS 2 node can be created, with its middleware."""
    fix = "pip install -e '.[ros]', or source /opt/ros/jazzy/setup.bash where ROS 2 itself is installed"
    run_python(_IMPORT_ROS, fix)
    return "rclpy creates a node"


def check_onnxruntime(_machine: Machine) -> str:
    """Checks that onnxruntime can be loaded."""
    return "onnxruntime " + run_python(
        "import onnxruntime; print(onnxruntime.__version__)", "pip install -e '.[server]'"
    )


def check_disk(machine: Machine) -> str:
    """Checks the free space where runs are written."""
    free_gb = shutil.disk_usage(machine.folder).free / 1e9
    if free_gb < DISK_GB:
        raise CheckFailed(f"{free_gb:.1f} GB free in {machine.folder}", "free some space: rm -r runs/ removes old runs")
    return f"{free_gb:.0f} GB free"


def check_clock(_machine: Machine) -> str:
    """Checks that the monotonic clock, by which every deadline is computed, is fine enough, and the date is sane."""
    resolution_s = time.get_clock_info("monotonic").resolution
    if resolution_s > 1e-3:
        raise CheckFailed(f"monotonic clock ticks every {resolution_s} s", "use another kernel clock source")
    year = time.gmtime().tm_year
    if year < 2025:
        raise CheckFailed(f"the date says {year}", "set the clock: timedatectl set-ntp true")
    return f"monotonic to {resolution_s:g} s"


def check_server(machine: Machine) -> str:
    """Checks that the policy server answers and is ready, and that its clock agrees."""
    assert machine.server is not None
    fix = f"start it: ferry serve BUNDLE; is {machine.server} its address, and open in the firewall?"
    try:
        with urllib.request.urlopen(f"{machine.server.rstrip('/')}/readyz", timeout=5.0) as reply:
            date = reply.headers.get("Date")
    except urllib.error.HTTPError as error:
        raise CheckFailed(f"{machine.server} answers with {error.code}", "wait until its bundle is loaded") from error
    except (OSError, ValueError) as error:
        raise CheckFailed(f"{machine.server} does not answer: {error}", fix) from error
    skew_s = abs(time.time() - parsedate_to_datetime(date).timestamp()) if date else 0.0
    if skew_s > CLOCK_SKEW_S:
        raise CheckFailed(f"clocks differ by {skew_s:.0f} s", "set both clocks: timedatectl set-ntp true")
    return f"{machine.server} is ready"


CHECKS: Mapping[str, Callable[[Machine], str]] = {
    "python": check_python,
    "gl": check_gl,
    "ros": check_ros,
    "onnxruntime": check_onnxruntime,
    "disk": check_disk,
    "clock": check_clock,
    "server": check_server,
}


def main(argv: Sequence[str] | None = None) -> int:
    """Runs `ferry doctor`; returns 1 when a check failed."""
    options = _parser().parse_args(argv)
    machine = Machine(Path.cwd(), options.server)
    names = options.only or [name for name in CHECKS if name != "server"]
    if options.server and "server" not in names:
        names.append("server")
    return int(sum([not report(name, machine) for name in names]) > 0)


def report(name: str, machine: Machine) -> bool:
    """Runs one check, prints what it found, and returns whether all is well."""
    try:
        found = CHECKS[name](machine)
    except CheckFailed as error:
        print(f"FAIL  {name:<12}{error}\n      {'':<12}fix: {error.fix}", flush=True)
        return False
    print(f"ok    {name:<12}{found}", flush=True)
    return True


def run_python(code: str, fix: str) -> str:
    """Runs Python in its own process, where a missing library, a crash or a hang harms nothing; returns its output."""
    try:
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, timeout=TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise CheckFailed(f"no answer within {TIMEOUT_S:.0f} s", fix) from error
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
        raise CheckFailed(last, fix)
    return done.stdout.strip()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="ferry doctor", description="Checks what this machine needs, and says how to get what is missing."
    )
    parser.add_argument("--only", action="append", choices=sorted(CHECKS), help="run this check alone; may be repeated")
    parser.add_argument("--server", metavar="URL", help="also check the policy server there")
    return parser
