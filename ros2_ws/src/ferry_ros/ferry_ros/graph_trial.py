"""A trial by hand on a running graph: a new episode, the policy node's run, its verdict."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import rclpy
from lifecycle_msgs.srv import GetState
from rclpy.node import Node
from rclpy.utilities import try_shutdown
from std_srvs.srv import Trigger

from evaluation.records.summary import succeeded
from evaluation.records.video_frame import caption
from evaluation.step import RunEnd, Step
from ferry_ros.rclpy_support import services
from ferry_ros.rclpy_support.context import enter
from ferry_ros.rclpy_support.spinner import Spinner
from ferry_ros.ros_robot import find_body
from ferry_ros.trial_follower import TrialFollower
from robots.errors import ConnectionFailed, RobotError
from robots.processes.text import counted

RUN_TRIAL = "/policy_node/run_trial"
FIND_S = 10.0  # DDS discovers a graph that runs in less
OTHERS_S = 0.5  # after the first policy node is found, others may follow
START_S = 60.0  # a graph that is being launched may take so long to be there
RESET_S = 120.0  # a twin builds its house and compiles it
CALL_S = 10.0


@contextmanager
def graph_trial(namespace: str = "") -> Iterator[GraphTrial]:
    """A trial on the graph of `namespace`; without one, on the only graph that is found.

    Raises:
        ConnectionFailed: no policy node is found, or more than one.
    """
    enter(["ferry trial"])
    try:
        trial = GraphTrial(f"/{namespace.strip('/')}" if namespace else only_graph())
        try:
            yield trial
        finally:
            trial.close()
    finally:
        try_shutdown()


def find_graph(namespace: str = "") -> tuple[str, tuple[str, ...]]:
    """The namespace of the graph, the only one where none is named, and its robot's cameras.

    Raises:
        ConnectionFailed: there is none, more than one, or no robot node in it.
    """
    enter(["ferry watch"])
    try:
        name = f"/{namespace.strip('/')}" if namespace else only_graph()
        node = Node("finder", namespace=name, enable_rosout=False)
        try:
            body = find_body(node, "", CALL_S)
        finally:
            node.destroy_node()
        return name, tuple(camera.name for camera in body.cameras)
    finally:
        try_shutdown()


class GraphTrial:
    """One trial on the graph of a namespace.

    Attributes:
        summary: its verdict in one line, once it has ended.
        record: file or folder of its record; empty without one.
    """

    def __init__(self, namespace: str) -> None:
        self._node = Node("trial", namespace=namespace)
        self._spinner = Spinner(self._node)
        self._follower = TrialFollower(self._node)
        self._say: Callable[[str], object] = lambda line: None
        self._steps = 0
        self._end: RunEnd | None = None

    @property
    def summary(self) -> str:
        """The verdict in one line, or how the run ended where nothing judged it."""
        end = self._end or RunEnd("interrupted", "no answer from policy_node", self._steps)
        plain = f"not judged: {end.reason} after {counted(end.steps, 'decision')}" + (
            end.message and f"; {end.message}"
        )
        return self._follower.judged.get("summary", plain)

    @property
    def end(self) -> RunEnd | None:
        """How the last run ended; None before."""
        return self._end

    @property
    def record(self) -> str:
        """The video, or the folder of the record."""
        return self._follower.judged.get("record", "")

    def begin(self, instruction: str, house_seed: int | None, max_steps: int, record: str) -> None:
        """Sets the trial up, in a new episode of a twin; an empty instruction or no house keeps the graph's.

        Raises:
            RobotError: the policy node is not active, or the twin has no such episode.
        """
        self._wait_until_active()
        asked: dict[str, object] = {"instruction": instruction} if instruction else {}
        house = {} if house_seed is None else {"house_seed": house_seed}
        driven = {"max_steps": max_steps, "record": record, "bundle_sha256": ""}
        services.set_parameters(self._node, "robot_node", {"episode": "", **asked, **house}, CALL_S)
        services.set_parameters(self._node, "policy_node", {**asked, **driven}, CALL_S)
        answer = services.ask(self._node, Trigger, "reset", Trigger.Request(), RESET_S)
        if not answer.success:
            raise RobotError(str(answer.message))

    def run(self, say: Callable[[str], object]) -> bool:
        """Runs the trial and says each decision; returns True if it was completed and not judged a failure."""
        self._say = say
        end = self._follower.follow([self])
        return succeeded(end, self._follower.judged.get("outcome", ""))

    def close(self) -> None:
        """Leaves the graph."""
        self._spinner.close()

    def on_start(self) -> None:
        """Subscriber of the run: does nothing at the start."""

    def on_step(self, step: Step) -> None:
        """Subscriber of the run: says the decision."""
        self._steps += 1
        self._say(caption(step, self._steps))

    def on_end(self, end: RunEnd) -> None:
        """Subscriber of the run: keeps its end."""
        self._end = end

    def _wait_until_active(self) -> None:
        deadline, state = time.monotonic() + START_S, ""
        while state != "active":
            state = services.ask(
                self._node, GetState, "policy_node/get_state", GetState.Request(), CALL_S
            ).current_state.label
            if state != "active" and time.monotonic() > deadline:
                raise RobotError(f"policy_node: got state {state}, expected active; see its log and /diagnostics")
            time.sleep(0.0 if state == "active" else 0.2)


def only_graph() -> str:
    """Returns the namespace of the only policy node.

    Raises:
        ConnectionFailed: there is none, or more than one.
    """
    node = Node("finder", enable_rosout=False)
    try:
        deadline, found = time.monotonic() + FIND_S, set[str]()
        while time.monotonic() < deadline:
            rclpy.spin_once(node, timeout_sec=0.1)
            services_ = dict(node.get_service_names_and_types())
            seen = {name.removesuffix(RUN_TRIAL) or "/" for name in services_ if name.endswith(RUN_TRIAL)}
            if seen and not found:
                deadline = time.monotonic() + OTHERS_S
            found = seen
    finally:
        node.destroy_node()
    if not found:
        raise ConnectionFailed(
            "no policy_node was found; `ferry run stretch_twin` starts one, with a simulated Stretch"
        )
    if len(found) > 1:
        raise ConnectionFailed(f"got several graphs: {', '.join(sorted(found))}; name one with --namespace")
    return found.pop()
