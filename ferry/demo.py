"""`ferry demo`: the whole pipeline, in houses that were not used for training.

A policy server, a simulated Stretch and a policy node run as separate processes, started by the launch file, beside a
second server with the policy before fine-tuning. The fine-tuned, the cloned and a random policy are evaluated over
ROS 2, the expert inside the simulator; one report compares them.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ferry.errors import DemoError
from ferry.graph import free_port, isolated, running, wait_for_server
from ferry.help import Parser
from ferry.launcher.lookup import REPOSITORY

SHIPPED, CLONED = "objectnav_stretch_mini", "objectnav_stretch_mini_cloned"
"""Bundles in policies/: the fine-tuned policy, and the one that it was fine-tuned from."""

CLONED_HELP = "a bundle to compare with; without --bundle, the one that the shipped policy was fine-tuned from"

HOUSES = 40
MAX_STEPS = 150
JUDGED = (0, 3)
"""Exit statuses of `ferry evaluate` after which a report can be written; with 3, some trials were aborted."""

START_S = 120.0
"""Time for the server to load its graphs and for the twin to build its first house, on a busy machine."""


@dataclass(frozen=True)
class Demo:
    """Parameters of one demonstration."""

    bundle: Path
    houses: int
    first: int
    """Index of the first house of the test split."""
    max_steps: int
    control_period_s: float
    """The bundle's own: maximum observation age at which a command may still start [s]."""
    folder: Path
    camera: tuple[int, int] = (84, 144)
    """Height and width of the largest image that the bundle takes [pixels]."""
    cloned: Path | None = None
    """Bundle to compare with."""

    @property
    def logs(self) -> Path:
        """Folder of the processes' logs."""
        return self.folder / "logs"


def main(argv: Sequence[str] | None = None) -> int:
    """Runs `ferry demo`; returns 0 when there is a report."""
    demo = _demo(_parser().parse_args(argv))
    began_s = time.monotonic()
    say(1, f"starting policy servers, a simulated Stretch and a policy node over ROS 2; logs in {demo.logs}")
    with graph(demo) as policies:
        names = ", ".join(str(policy["name"]) for policy in policies)
        say(2, f"evaluating over ROS 2 in {demo.houses} unseen houses each: {names}")
        ferry("evaluate", write_plan(demo, "ros", policies), "--output", demo.folder / "ros")
    say(3, "evaluating the expert, which uses the simulator's ground truth, as the upper bound")
    expert = write_plan(demo, "twin", [{"name": "expert", "expert": True}])
    ferry("evaluate", expert, "--output", demo.folder / "expert", "--no-video")
    say(4, f"writing the report, after {(time.monotonic() - began_s) / 60:.1f} minutes")
    ferry("report", demo.folder / "ros", demo.folder / "expert", "--output", demo.folder / "report")
    print(f"open {demo.folder / 'report' / 'report.html'}")
    return 0


def say(stage: int, text: str) -> None:
    """Prints the next stage, in one line."""
    print(f"\n[{stage}/4] {text}", flush=True)


@contextmanager
def graph(demo: Demo) -> Iterator[list[dict[str, str]]]:
    """Runs the launch file, and a second server for the policy to compare with; yields the plan's policies."""
    port = free_port()
    shown = f"http://127.0.0.1:{port}"
    with ExitStack() as stack:
        launch = stack.enter_context(running("stretch_twin", arguments(demo, port), demo.logs))
        wait_for_server(shown, launch, demo.logs, START_S)
        policies = [{"name": "fine-tuned" if demo.cloned else "policy", "server": shown}]
        if demo.cloned:
            port, logs = free_port(), demo.logs / "cloned"
            server = stack.enter_context(
                running("policy_server", {"bundle": str(demo.cloned), "port": str(port)}, logs)
            )
            policies.append({"name": "cloned", "server": f"http://127.0.0.1:{port}"})
            wait_for_server(policies[-1]["server"], server, logs, START_S)
        yield [*policies, {"name": "random", "server": shown, "sampling": "uniform"}]


def arguments(demo: Demo, port: int) -> dict[str, str]:
    """Returns the launch arguments: the bundle, and the period and image size from its manifest."""
    height, width = demo.camera
    return {
        "bundle": str(demo.bundle),
        "server_port": str(port),
        "control_period_s": str(demo.control_period_s),
        "camera_height": str(height),
        "camera_width": str(width),
    }


def write_plan(demo: Demo, robot: str, policies: Sequence[Mapping[str, object]]) -> Path:
    """Writes the plan of one of the two evaluations: the policies over ROS, or the expert inside the simulator."""
    cloned = {"baseline": "cloned"} if any(policy["name"] == "cloned" for policy in policies) else {}
    plan = {
        "name": f"demo, {'over ROS 2' if robot == 'ros' else 'expert'}",
        "robot": robot,
        **cloned,
        "policies": [dict(policy) for policy in policies],
        "houses": {"split": "test", "start": demo.first, "count": demo.houses},
        "max_steps": demo.max_steps,
    }
    file = demo.folder / f"{robot}.yaml"
    file.write_text(yaml.safe_dump(plan, sort_keys=False), encoding="utf-8")
    return file


def ferry(verb: str, *words: object) -> None:
    """Runs a verb of `ferry` in its own process, in the same ROS domain as the launch.

    The demo continues after aborted trials as long as at least one was judged; the report shows them.

    Raises:
        DemoError: it failed and has printed the reason, or no trial was judged.
    """
    done = subprocess.run([sys.executable, "-m", "ferry", verb, *map(str, words)], env=isolated(), check=False)
    if done.returncode not in JUDGED:
        none = ": no trial was judged, or an error that it printed" if done.returncode == 1 else ""
        raise DemoError(f"ferry {verb} ended with exit status {done.returncode}{none}")


def find_bundle(given: Path | None, shipped: Path = REPOSITORY / "policies") -> Path:
    """Returns the given bundle, or the one in the repository.

    Raises:
        DemoError: there is none.
    """
    if given is not None:
        if not (given / "manifest.json").is_file():
            raise DemoError(f"no policy bundle in {given}: it has no manifest.json")
        return given
    if not (shipped / SHIPPED / "manifest.json").is_file():
        raise DemoError(f"no policy bundle in {shipped / SHIPPED}; pass one with --bundle")
    return shipped / SHIPPED


def find_cloned(options: argparse.Namespace, shipped: Path = REPOSITORY / "policies") -> Path | None:
    """Returns the bundle to compare with: the given one, or for the shipped bundle the one it was fine-tuned from."""
    given: Path | None = getattr(options, "cloned", None)
    if given is None and options.bundle is None and (shipped / CLONED / "manifest.json").is_file():
        return shipped / CLONED
    return None if given is None else find_bundle(given)


def spec_of(bundle: Path) -> dict[str, Any]:
    """Returns the inputs and outputs of a bundle's policy, from its manifest."""
    manifest: dict[str, Any] = json.loads((bundle / "manifest.json").read_text(encoding="utf-8"))
    return dict(manifest["spec"])


def check_alike(bundle: Path, cloned: Path) -> None:
    """Raises DemoError unless both have the same cameras, control period and horizon."""
    for key in ("cameras", "control_period_s", "horizon"):
        expected, got = spec_of(bundle)[key], spec_of(cloned)[key]
        if got != expected:
            raise DemoError(f"{cloned}: got {key} {got}, expected {expected} as in {bundle}")


def _demo(options: argparse.Namespace) -> Demo:
    if options.houses < 1:
        raise DemoError(f"--houses: got {options.houses}, expected at least 1")
    bundle, cloned = find_bundle(options.bundle), find_cloned(options)
    if cloned:
        check_alike(bundle, cloned)
    spec = spec_of(bundle)
    steps = min(options.max_steps, spec["horizon"])
    folder = options.output or Path("runs") / "demo" / time.strftime("%Y%m%d-%H%M%S")
    folder.mkdir(parents=True, exist_ok=True)
    camera = max((camera["height"], camera["width"]) for camera in spec["cameras"])
    return Demo(bundle, options.houses, options.first, steps, spec["control_period_s"], folder, camera, cloned)


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="ferry demo",
        description="Evaluates the shipped policies on a simulated Stretch over ROS 2, and writes a report.",
    )
    parser.add_argument("--bundle", type=Path, help="a policy bundle other than the shipped one")
    parser.add_argument("--cloned", type=Path, default=argparse.SUPPRESS, help=CLONED_HELP)
    parser.add_argument(
        "--houses", type=int, default=HOUSES, help="number of test houses; each policy has one trial in each"
    )
    parser.add_argument("--first", type=int, default=0, help="index of the first house of the test split")
    parser.add_argument("--max-steps", type=int, default=MAX_STEPS, help="maximum number of decisions in a trial")
    parser.add_argument("--output", type=Path, help="folder for all results; default: runs/demo/TIME")
    return parser
