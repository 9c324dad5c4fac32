"""`ferry demo`: the whole line, in houses that no training has seen.

A policy server, a simulated Stretch and a policy node run as processes of their own, started by the launch file; the
shipped policy and a random one are tried over ROS 2, the expert inside of the simulator; one report shows all three.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from ferry.errors import DemoError
from ferry.graph import free_port, isolated, running, wait_for_server
from ferry.launcher.lookup import REPOSITORY

HOUSES = 40
MAX_STEPS = 150
JUDGED = (0, 3)
"""Exit statuses of `ferry evaluate` that the report can go on from: 3 says that some trials were aborted."""

START_S = 120.0
"""Time for the server to load its graphs and for the twin to build its first house, on a busy machine."""


@dataclass(frozen=True)
class Demo:
    """What is shown."""

    bundle: Path
    houses: int
    first: int
    """Index of the first house of the test split."""
    max_steps: int
    control_period_s: float
    """The bundle's own: how old an observation may be when what it led to starts."""
    folder: Path
    camera: tuple[int, int] = (84, 144)
    """Height and width of the largest pictures that the bundle takes [pixels]."""

    @property
    def logs(self) -> Path:
        """Folder of the processes' logs."""
        return self.folder / "logs"


def main(argv: Sequence[str] | None = None) -> int:
    """Runs `ferry demo`; returns 0 when there is a report."""
    demo = _demo(_parser().parse_args(argv))
    began_s = time.monotonic()
    port = free_port()
    say(1, f"starting a policy server, a simulated Stretch and a policy node over ROS 2; logs in {demo.logs}")
    with running("stretch_twin", arguments(demo, port), demo.logs) as launch:
        url = f"http://127.0.0.1:{port}"
        wait_for_server(url, launch, demo.logs, START_S)
        say(2, f"the policy and a random one look for things over ROS 2, in {demo.houses} unseen houses each")
        ferry("evaluate", write_plan(demo, "ros"), "--output", demo.folder / "ros", "--server", url)
    say(3, "the expert, who knows the way, does the same inside of the simulator: the best that can be had")
    ferry("evaluate", write_plan(demo, "twin"), "--output", demo.folder / "expert", "--no-video")
    say(4, f"writing the report; it took {(time.monotonic() - began_s) / 60:.1f} minutes until here")
    ferry("report", demo.folder / "ros", demo.folder / "expert", "--output", demo.folder / "report")
    print(f"open {demo.folder / 'report' / 'report.html'}")
    return 0


def say(stage: int, what: str) -> None:
    """Prints what comes next, in one line."""
    print(f"\n[{stage}/4] {what}", flush=True)


def arguments(demo: Demo, port: int) -> dict[str, str]:
    """Returns the launch arguments: the bundle, and what its manifest says of time and pictures."""
    height, width = demo.camera
    return {
        "bundle": str(demo.bundle),
        "server_port": str(port),
        "control_period_s": str(demo.control_period_s),
        "camera_height": str(height),
        "camera_width": str(width),
    }


def write_plan(demo: Demo, robot: str) -> Path:
    """Writes the plan of one of the two evaluations: the policies behind ROS, the expert inside of the simulator."""
    policies: list[dict[str, object]] = [{"name": "expert", "expert": True}]
    if robot == "ros":
        bundle = str(demo.bundle)
        policies = [{"name": "policy", "bundle": bundle}, {"name": "random", "bundle": bundle, "sampling": "uniform"}]
    plan = {
        "name": f"demo, {'over ROS 2' if robot == 'ros' else 'expert'}",
        "robot": robot,
        "policies": policies,
        "houses": {"split": "test", "start": demo.first, "count": demo.houses},
        "max_steps": demo.max_steps,
    }
    file = demo.folder / f"{robot}.yaml"
    file.write_text(yaml.safe_dump(plan, sort_keys=False), encoding="utf-8")
    return file


def ferry(verb: str, *words: object) -> None:
    """Runs a verb of `ferry` in a process of its own, which hears the same ROS graph as the launch.

    Aborted trials let the demo go on as long as another was judged; the report shows them.

    Raises:
        DemoError: it failed, and has said why; or no trial was judged.
    """
    done = subprocess.run([sys.executable, "-m", "ferry", verb, *map(str, words)], env=isolated(), check=False)
    if done.returncode not in JUDGED:
        none = ": no trial was judged, or an error that it printed" if done.returncode == 1 else ""
        raise DemoError(f"ferry {verb} ended with exit status {done.returncode}{none}")


def find_bundle(given: Path | None, shipped: Path = REPOSITORY / "policies") -> Path:
    """Returns the given bundle, or the one that ships with the repository.

    Raises:
        DemoError: there is none.
    """
    if given is not None:
        if not (given / "manifest.json").is_file():
            raise DemoError(f"no policy bundle in {given}: it has no manifest.json")
        return given
    found = sorted(manifest.parent for manifest in shipped.glob("*/manifest.json"))
    if not found:
        raise DemoError(f"no policy bundle in {shipped}; name one with --bundle")
    return next((bundle for bundle in found if bundle.name == "objectnav_stretch_mini"), found[0])


def _demo(options: argparse.Namespace) -> Demo:
    bundle = find_bundle(options.bundle)
    spec = json.loads((bundle / "manifest.json").read_text(encoding="utf-8"))["spec"]
    steps = min(options.max_steps, spec["horizon"])
    folder = options.output or Path("runs") / "demo" / time.strftime("%Y%m%d-%H%M%S")
    folder.mkdir(parents=True, exist_ok=True)
    camera = max((one["height"], one["width"]) for one in spec["cameras"])
    return Demo(bundle, options.houses, options.first, steps, spec["control_period_s"], folder, camera)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="ferry demo",
        description="The shipped policy drives a simulated Stretch over ROS 2 in unseen houses; a report says how.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--bundle", type=Path, help="a policy bundle other than the shipped one")
    parser.add_argument("--houses", type=int, default=HOUSES, help="test houses; each policy has one trial in each")
    parser.add_argument("--first", type=int, default=0, help="index of the first house of the test split")
    parser.add_argument("--max-steps", type=int, default=MAX_STEPS, help="decisions until a trial ends")
    parser.add_argument("--output", type=Path, help="folder for everything; runs/demo/TIME when left out")
    return parser
