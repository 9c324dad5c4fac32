"""A trial in the policy node of a namespace, as another process follows it."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.node import Node
from std_srvs.srv import Trigger

from evaluation.step import RunEnd, Step, Subscriber
from ferry_ros.messages import qos
from ferry_ros.messages.json_text import read_json
from ferry_ros.messages.steps import step_of
from ferry_ros.rclpy_support import services
from robots.errors import ConnectionFailed, RobotError

SILENCE_S = 30.0  # longer than a policy node waits for any one thing: after this it is gone
LAST_STEPS_S = 2.0  # the answer that a trial has ended may overtake its last steps
END_S = 3.0  # a policy node that lives ends a trial in this time


class TrialFollower:
    """Runs trials in the policy node and forwards their steps.

    Args:
        node: in the robot's namespace; it must be spun in another thread.
        silence_s: a policy node that is silent for so long counts as gone.
        complete: adds to a step what its message lacks: its images.
        interrupted: message of a trial that was interrupted here.

    Attributes:
        judged: outcome, summary and record of the last trial, as the policy node judged it; empty where it did not.
    """

    def __init__(
        self,
        node: Node,
        silence_s: float = SILENCE_S,
        complete: Callable[[Step], Step] = lambda step: step,
        interrupted: str = "interrupted",
    ) -> None:
        self._node, self._silence_s, self._complete, self._interrupted = node, silence_s, complete, interrupted
        self._steps: queue.Queue[Step] = queue.Queue()
        self.judged: Mapping[str, str] = {}
        node.create_subscription(DiagnosticArray, "policy_node/decision", self._take_step, qos.ALL)

    def follow(self, subscribers: Sequence[Subscriber], stop: Callable[[], object] | None = None) -> RunEnd:
        """Runs a trial and forwards its steps to `subscribers`; ends it there when this fails.

        `stop` is called at its end, whatever ends it, before the subscribers' `on_end`.
        """
        self._steps, self.judged = queue.Queue(), {}
        end = RunEnd("interrupted", self._interrupted, 0)
        client = self._node.create_client(Trigger, "policy_node/run_trial")
        future: Any = None
        try:
            for subscriber in subscribers:
                subscriber.on_start()
            future = client.call_async(Trigger.Request())
            end = self._forward(future, subscribers)
        finally:
            fault = self._end_trial(future) if future and not future.done() else ""
            if stop:
                stop()
            elif fault:
                warning = f"NOT ended: {fault}; the robot may drive on: `ferry stop`"
                end = replace(end, message="; ".join(filter(None, (end.message, warning))))
            self._node.destroy_client(client)
            for subscriber in subscribers:
                subscriber.on_end(end)
        return end

    def _end_trial(self, future: Any) -> str:
        """Ends the trial, and waits for its verdict; returns why it may go on, or ""."""
        answered = threading.Event()
        future.add_done_callback(lambda _: answered.set())
        try:
            services.ask(self._node, Trigger, "policy_node/end_trial", Trigger.Request(), END_S)
        except ConnectionFailed:  # a policy node that is gone drives nothing
            return ""
        except RobotError as error:
            return str(error)
        if answered.wait(END_S):
            self._take_end(future.result())
        return ""

    def _forward(self, future: Any, subscribers: Sequence[Subscriber]) -> RunEnd:
        """Forwards each step to the subscribers until the trial has ended with all its steps, or a timeout."""
        count, heard_s, end = 0, time.monotonic(), None
        while end is None or count < end.steps:
            try:
                step = self._steps.get(timeout=0.1)
            except queue.Empty:
                silent_s = time.monotonic() - heard_s
                if end is not None and silent_s > LAST_STEPS_S:
                    self._node.get_logger().warning(f"steps of the trial: got {count}, expected {end.steps}")
                    return end
                if silent_s > self._silence_s:
                    return RunEnd("policy_failed", f"policy_node was silent for {self._silence_s} s", count)
            else:
                count, heard_s = count + 1, time.monotonic()
                complete = self._complete(step)
                for subscriber in subscribers:
                    subscriber.on_step(complete)
            if end is None and future.done():
                end, heard_s = self._take_end(future.result()), time.monotonic()
        return end

    def _take_step(self, message: DiagnosticArray) -> None:
        try:
            self._steps.put(step_of(message))
        except RobotError as error:  # the missing step is reported at the trial's end
            self._node.get_logger().error(f"policy_node/decision: {error}")

    def _take_end(self, answer: Trigger.Response) -> RunEnd:
        try:
            known = read_json(answer.message)
            self.judged = known.pop("judged", {})
            return RunEnd(**known)
        except (ValueError, TypeError, AttributeError):
            return RunEnd("policy_failed", f"policy_node: {answer.message}", 0)
