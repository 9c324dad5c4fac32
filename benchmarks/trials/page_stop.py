"""Time to stop from the operator's page: from the tap's request to the last motion.

    python -m benchmarks.trials.page_stop --tries 20                             # the Stretch twin in this process
    python -m benchmarks.trials.page_stop --tries 20 --robot ros --namespace /stretch

The second on a graph that runs (`ferry run stretch_twin`, `ferry run piper` ...), by its odometry and joint states.
Prints p50 and the longest time until the stop is confirmed, and until the robot stands. Tries in which it did not move
are left out and counted.
"""

from __future__ import annotations

import argparse
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from evaluation.operator.in_process_rig import InProcessRig
from evaluation.operator.main import RunTrials, serving
from evaluation.operator.rig import Rig, RigOptions
from evaluation.operator.twin_rig import find_episode
from evaluation.plans.trial_plan import read_trial_plan
from evaluation.records.trial_folder import TrialFolder
from simulation.houses.seeds import house_seed
from simulation.twins.house_twin import StretchTwin, TwinOptions

MOVED = 1e-4
LOOK_S = 0.002
WAIT_S = 30.0
Pose = tuple[float, ...]


class Watch:
    """Watches a pose in a thread: when it last changed."""

    def __init__(self, pose: Callable[[], Pose]) -> None:
        self._pose, self.moved_s = pose, 0.0
        threading.Thread(target=self._look, daemon=True).start()

    def _look(self) -> None:
        before = self._pose()
        while True:
            time.sleep(LOOK_S)
            now = self._pose()
            if len(now) == len(before) and max(map(abs, np.subtract(now, before)), default=0.0) > MOVED:
                self.moved_s = time.monotonic()
            before = now


@contextmanager
def twin(options: argparse.Namespace) -> Iterator[tuple[Callable[[RigOptions], Rig], Callable[[], Pose]]]:
    """The Stretch twin in this process, in real time."""
    robot = StretchTwin(TwinOptions(real_time=True))
    episode = find_episode("find a mug", house_seed("test", 0), robot.eye, 1)
    robot.reset(episode)
    yield lambda _: InProcessRig(robot, lambda _: robot.reset(episode), name="twin"), lambda: tuple(robot.pose)


@contextmanager
def graph(options: argparse.Namespace) -> Iterator[tuple[Callable[[RigOptions], Rig], Callable[[], Pose]]]:
    """A graph that runs; its joint states and odometry."""
    from ferry_ros.messages import convert, qos
    from ferry_ros.rclpy_support.context import enter
    from ferry_ros.rclpy_support.spinner import Spinner
    from ferry_ros.ros_rig import ros_rig
    from nav_msgs.msg import Odometry
    from rclpy.node import Node
    from rclpy.utilities import try_shutdown
    from sensor_msgs.msg import JointState

    enter(["page_stop"])
    node = Node("page_stop", namespace=options.namespace)
    parts: dict[str, Pose] = {"odom": (0.0,), "joints": (0.0,)}

    def joints(message: Any) -> None:
        parts["joints"] = tuple(message.position)

    def odometry(message: Any) -> None:
        parts["odom"] = convert.pose_of(message)

    node.create_subscription(Odometry, "odom", odometry, qos.NEWEST)
    node.create_subscription(JointState, "joint_states", joints, qos.NEWEST)
    spinner = Spinner(node)
    try:
        yield ros_rig, lambda: (*parts["odom"], *parts["joints"])
    finally:
        spinner.close()
        try_shutdown()


def lock(folder: Path, bundle: str, instruction: str, limit_s: float = 60.0) -> Path:
    """Locks a plan of two uniform arms, whose trials end after `limit_s`."""
    plan = folder / "plan.yaml"
    arms = ", ".join(f"{{name: {name}, bundle: {bundle}, sampling: uniform}}" for name in "ab")
    task = f"{{name: move, instruction: {instruction}, time_limit_s: {limit_s}}}"
    start, design = "{name: here, instruction: ''}", "{blocks: 500}"
    plan.write_text(f"name: stop\narms: [{arms}]\ntasks: [{task}]\nstarts: [{start}]\ndesign: {design}\n")
    return TrialFolder.lock(folder / "trials", read_trial_plan(plan), {}).path


class Page:
    """What the page sends."""

    def __init__(self, joined: str) -> None:
        self._http = httpx.Client(base_url=joined.partition("/join/")[0], headers={"X-Ferry": "1"}, timeout=WAIT_S)
        self._http.get(joined)

    def post(self, path: str, **body: object) -> None:
        """Sends an action."""
        self._http.post(path, json=body).raise_for_status()

    def until(self, phase: str) -> dict[str, object]:
        """Waits for a phase, in which the robot is ready or stopped."""
        while True:
            state = self._http.get("/state?awake=1").json()
            if state["phase"] == phase and (phase != "place" or state["ready"] or state["halt"]["pressed"]):
                return dict(state)
            time.sleep(LOOK_S)

    def confirmed_s(self) -> float:
        """Returns the moment at which the stop is confirmed."""
        while not self._http.get("/state?awake=1").json()["halt"]["confirmed"]:
            time.sleep(LOOK_S)
        return time.monotonic()


def one_try(page: Page, watch: Watch, after_s: float) -> tuple[float, float] | None:
    """Returns (until confirmed, until at rest) of a stop `after_s` into a trial [s]; None if it did not move then."""
    trial = page.until("place")["trial"]
    assert isinstance(trial, dict)
    which = {"trial": trial["number"], "attempt": trial["attempt"]}
    page.post("/start", **which)
    began, moving = time.monotonic(), 0.0
    while time.monotonic() - began < WAIT_S and not (moving and time.monotonic() - moving > after_s):
        time.sleep(LOOK_S)
        moving = moving or (watch.moved_s if watch.moved_s > began else 0.0)
    while time.monotonic() - watch.moved_s > 5 * LOOK_S and time.monotonic() - began < WAIT_S:
        time.sleep(LOOK_S / 2)  # until it moves again
    pressed = time.monotonic()
    is_moving = pressed - watch.moved_s < 10 * LOOK_S
    page.post("/stop")
    confirmed = page.confirmed_s() - pressed
    page.until("verdict")
    time.sleep(1.0)
    rest = max(0.0, watch.moved_s - pressed)  # before the twin goes to its next start
    page.post("/verdict", **which, key=f"{which}", outcome="aborted", failure="other")
    page.post("/clear")
    return (confirmed, rest) if is_moving else None


def main() -> None:
    """Prints the times."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tries", type=int, default=20)
    parser.add_argument("--robot", choices=("twin", "ros"), default="twin")
    parser.add_argument("--namespace", default="/stretch")
    parser.add_argument("--bundle", default="policies/objectnav_stretch_mini")
    parser.add_argument("--instruction", default="find a mug")
    options = parser.parse_args()
    draw = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as name, (graph if options.robot == "ros" else twin)(options) as (rig, pose):
        run = RunTrials(lock(Path(name), options.bundle, options.instruction), namespace=options.namespace, port=0)
        with serving(run, {"ros": rig}) as joined:
            page, watch = Page(joined), Watch(pose)
            tries = [one_try(page, watch, float(draw.uniform(0.2, 2.0))) for _ in range(options.tries)]
    moved = [one for one in tries if one is not None]
    print(f"{len(moved)} of {len(tries)} tries while it moved")
    for what, times in zip(("confirmed", "at rest"), zip(*moved)):
        print(f"{what}: p50 {1e3 * float(np.median(times)):.0f} ms, max {1e3 * max(times):.0f} ms")


if __name__ == "__main__":
    main()
