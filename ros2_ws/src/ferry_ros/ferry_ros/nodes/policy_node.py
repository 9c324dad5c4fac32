"""`policy_node`: lifecycle node that drives the robot in its namespace with the policy of a policy server.

configure: reads the server's manifest and the robot's embodiment, and binds them; the error names what does not fit.
activate: subscribes to the robot. `~/run_trial` runs one episode and returns its end; `~/decision` publishes each step;
`~/end_trial` ends it early. The robot is stopped before the node, a trial or a transition ends, for any reason.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

from diagnostic_msgs.msg import DiagnosticArray
from nav_msgs.msg import Odometry
from rclpy._rclpy_pybind11 import RCLError  # no public module has it
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup, ReentrantCallbackGroup
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from std_msgs.msg import String
from std_srvs.srv import Trigger

from evaluation.errors import EvaluationError
from evaluation.records.summary import succeeded
from evaluation.runner import Runner
from evaluation.step import RunEnd, Step
from ferry_ros import trial_record
from ferry_ros.driven_trial import Trial, described
from ferry_ros.messages import convert, diagnostics, qos
from ferry_ros.messages.steps import step_msg
from ferry_ros.messages.trial_marks import Begun, begun_msg
from ferry_ros.nodes.policy_options import PolicyNodeOptions
from ferry_ros.rclpy_support import parameters, transitions
from ferry_ros.rclpy_support.claim import Claim
from ferry_ros.rclpy_support.one_message import one_message
from ferry_ros.rclpy_support.process import fail, run
from ferry_ros.rclpy_support.ros_stamps import ros_now
from ferry_ros.rclpy_support.timer import steady_timer
from ferry_ros.ros_robot import RobotStopped, RosRobot, RosRobotOptions, find_body
from ferry_ros.server_watchdog import ServerWatchdog
from ferry_ros.trial_record import TrialRecord
from policy_server.errors import PolicyError, Unreachable
from policy_server.policies import open_policy
from policy_server.policy import Policy, PolicyInfo, Sampling
from robots.binding import ChunkSettings, bind
from robots.errors import ConnectionFailed, RobotError
from robots.processes.awake import Awake

ODOMETRY_S = 0.5
"""Longest wait for where a recorded trial begins; a robot without odometry has none."""

SUCCESS, FAILURE = TransitionCallbackReturn.SUCCESS, TransitionCallbackReturn.FAILURE


class PolicyNode(LifecycleNode):
    """Runs the Runner over ROS topics."""

    def __init__(self) -> None:
        super().__init__("policy_node")
        transitions.refuse(self)
        self.finished, self.exit_code = threading.Event(), 0
        parameters.declare(self, PolicyNodeOptions)
        self._current: Trial | None = None
        self._conflict = ""
        self._claim = Claim(self, "policy_node", self._take_conflict, partial(fail, self))
        self._claim.settle()
        own = MutuallyExclusiveCallbackGroup  # so that no callback waits for another
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", qos.EVERY)
        self._decisions = self.create_publisher(DiagnosticArray, "~/decision", qos.ALL)
        self._trials = self.create_publisher(DiagnosticArray, "~/trial", qos.LATCHED)
        self._begun = self.create_publisher(DiagnosticArray, "~/trial_begun", qos.LATCHED)
        self._instruction = self.create_publisher(String, "~/instruction", qos.LATCHED)
        self.create_service(Trigger, "~/run_trial", self._run_trial, callback_group=ReentrantCallbackGroup())
        self.create_service(Trigger, "~/end_trial", self._end_trial, callback_group=own())
        self._status = diagnostics.status(f"{self.get_name()}: policy", diagnostics.OK, "unconfigured", {})
        steady_timer(self, 1.0, self._repeat, own())
        self._policy: Policy | None = None
        self._info: PolicyInfo | None = None
        self._robot: RosRobot | None = None
        self._trial, self._awake = threading.Lock(), Awake()
        self._permanent_failure, self._starting, self._was_active = False, False, False
        self._awaited = self._failure = ""
        if self.options.autostart:
            self._starter = steady_timer(self, 0.0, self._autostart, own())

    @property
    def options(self) -> PolicyNodeOptions:
        """Current parameters."""
        return parameters.read(self, PolicyNodeOptions)

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Reads the manifest and binds it to the robot's embodiment; FAILURE logs the difference."""
        try:
            self._bind(self.options)
        except (PolicyError, RobotError, ValueError) as error:
            self._permanent_failure = not isinstance(error, (Unreachable, ConnectionFailed))
            server = f"the policy server at {self.options.server_url}"
            awaited = server if isinstance(error, Unreachable) else "the robot"
            return self._fail(f"not configured: {type(error).__name__}: {error}", awaited)
        assert self._info is not None  # `_bind` read it
        self._report(diagnostics.OK, f"configured with policy {self._info.name}")
        return SUCCESS

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Subscribes to the robot; FAILURE when it does not publish."""
        assert self._robot is not None  # configured
        try:
            self._robot.connect()
        except RobotError as error:
            return self._fail(f"not activated: {error}", "the robot")
        self._was_active = True
        self._report(diagnostics.OK, "active")
        return super().on_activate(state)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Ends a running trial and stops the robot."""
        self._end("deactivated")
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Closes the connection to the server."""
        self._release()
        return SUCCESS

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Ends a running trial, stops the robot and closes the connection to the server."""
        self._end("shut down")
        self._release()
        return SUCCESS

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stops the robot; the node may be configured again."""
        self._end("error in a transition")
        self._release()
        return SUCCESS

    def close(self, reason: str) -> None:
        """Ends a running trial and stops the robot before the process ends."""
        self._end(reason)
        self._release()
        self._claim.close()
        self._awake.close()

    def _take_conflict(self, conflict: str) -> None:
        self._conflict = conflict
        if conflict and (current := self._current):
            current.end(conflict)

    def _bind(self, options: PolicyNodeOptions) -> None:
        with open_policy(options.server_url, token=options.token or None) as policy:
            spec = policy.describe().spec
        period_s = min(options.control_period_s or spec.control_period_s, spec.control_period_s)
        body = find_body(self, options.body, timeout_s=5.0)
        bind(spec, body)
        policy = open_policy(options.server_url, token=options.token or None, timeout_s=period_s)
        observe_s, motion_s = options.observe_timeout_s, options.motion_timeout_s
        waits = RosRobotOptions(valid_for_s=period_s, observe_timeout_s=observe_s, motion_timeout_s=motion_s)
        self._policy, self._info, self._robot = policy, policy.describe(), RosRobot(self, body, waits)

    def _end(self, reason: str) -> None:
        """Ends a running trial, waits for it, stops the robot and unsubscribes from it."""
        if current := self._current:
            current.end(reason)
        if self._robot and not (current and current.runner):
            self._robot.stop()
        if self._trial.acquire(timeout=5.0):
            self._trial.release()
        if self._robot:
            self._robot.disconnect()

    def _release(self) -> None:
        if self._policy:
            self._policy.close()
        self._policy = self._info = self._robot = None

    def _run_trial(
        self, _: Trigger.Request, response: Trigger.Response, trial: Trial | None = None
    ) -> Trigger.Response:
        if not self._trial.acquire(blocking=False):
            response.message = "busy: a trial is running"
            return response
        old = "" if trial else self._awake.refusal()  # one's own trial waited in no queue
        self._current = trial = trial or Trial()
        try:
            if refusal := "this node is ending" if self.finished.is_set() else self._conflict or old:
                trial.end(refusal)  # asked only now: whoever has a reason from here on finds the trial in `_current`
            end = self._play(trial)
            response.success = end.reason in ("done", "max_steps")
            trial.succeeded = succeeded(end, trial.judged.get("outcome", ""))
            response.message = json.dumps({**asdict(end), "judged": dict(trial.judged)})
            self._report_trial(end, response.success, trial.judged)
        finally:
            self._current = None
            self._trial.release()
        return response

    def _end_trial(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        if current := self._current:
            current.end("end_trial was called")
        response.success, response.message = True, "ended" if current else "no trial is running"
        return response

    def _play(self, trial: Trial) -> RunEnd:
        try:
            return self._run_session(trial, self.options)
        except RobotStopped as error:
            return RunEnd("robot_failed", str(error), 0)
        except (PolicyError, RobotError, EvaluationError, ValueError) as error:
            return RunEnd("policy_failed", f"{type(error).__name__}: {error}", 0)

    def _run_session(self, trial: Trial, options: PolicyNodeOptions) -> RunEnd:
        if trial.ending:
            return RunEnd(trial.why, trial.ending, 0)
        if not self._policy or not self._info or not self._robot or not self._active():
            return RunEnd("interrupted", "policy_node is not active; configure and activate it first", 0)
        self._info = info = described(self._policy, self._info, options.bundle_sha256)
        instruction = options.instruction or self._robot.instruction
        sampling: Sampling = options.sampling  # type: ignore[assignment]  # the policy refuses what it does not know
        with self._policy.open(self._robot.spec, instruction, sampling=sampling, seed=options.seed) as session:
            self._instruction.publish(String(data=instruction))  # the judge needs the instruction that was used
            steps = options.max_steps or info.spec.horizon
            recorded, watched = self._recorded(trial, options, instruction, steps), self._watched(trial, options)
            with recorded as record, self._robot.driving(), watched:
                trial.end_if_old(self._awake)
                both = (self, record)
                chunks = ChunkSettings.given(options.chunks, options.execute_rows, options.chunk_latency_s)
                runner = Runner(self._robot, session, chunks=chunks, max_steps=steps, subscribers=both)
                end = trial.begin(runner)
                record.ended_as(end)  # with the reason of who ended it
            return replace(end, message="; ".join(filter(None, (end.message, record.fault))))

    def _watched(self, trial: Trial, options: PolicyNodeOptions) -> AbstractContextManager[object]:
        """Ends the trial when the server is lost."""
        assert self._policy is not None  # a trial has one
        lost = partial(trial.end, why="policy_failed")
        timeout_s = options.server_timeout_s
        return ServerWatchdog(self._policy, timeout_s, lost) if timeout_s > 0 else nullcontext()

    @contextmanager
    def _recorded(
        self, trial: Trial, options: PolicyNodeOptions, instruction: str, steps: int
    ) -> Iterator[TrialRecord]:
        """Record of a trial; writes nothing without the parameter `record`; always finished."""
        robot, info = self._robot, self._info
        assert robot is not None  # it is active
        assert info is not None
        folder = Path(options.record).expanduser() if options.record else None
        known = (info.name, info.bundle_sha256, robot.spec.name)
        if folder is not None:  # where it begins; later on each result does
            odometry, _ = one_message(self, Odometry, "odom", qos.NEWEST, ODOMETRY_S)
            robot.pose = convert.pose_of(odometry) if odometry else None
        record = trial_record.begin(folder, instruction, *known, steps, lambda: robot.pose, robot.observe)
        begun = Begun(instruction, info.bundle_sha256, options.sampling, options.seed, steps, record.folder)
        self._begun.publish(begun_msg(ros_now(self), begun, info))
        try:
            yield record
        finally:
            if folder is not None or options.run_once:
                trial.judged = record.judged(trial_record.verdict(self, record.end))

    def _active(self) -> bool:
        return bool(self._state_machine.current_state[1] == "active")

    def on_start(self) -> None:
        """Subscriber of the Runner: does nothing at the start."""

    def on_step(self, step: Step) -> None:
        """Subscriber of the Runner: publishes the decision and its outcome."""
        self._decisions.publish(step_msg(step))

    def on_end(self, end: RunEnd) -> None:
        """Subscriber of the Runner: does nothing; the caller of `~/run_trial` gets the end."""

    def _report_trial(self, end: RunEnd, finished: bool, judged: Mapping[str, str]) -> None:
        message = f"trial ended: {end.reason}" + (f": {end.message}" if end.message else "")
        level = diagnostics.OK if finished else diagnostics.ERROR
        status = diagnostics.status("trial", level, end.reason, {**asdict(end), **judged})
        self._trials.publish(diagnostics.diagnostics(ros_now(self), status))
        self._report(level, message)
        if judged:
            self.get_logger().info(judged["summary"] + (judged["record"] and f"; see {judged['record']}"))

    def _fail(self, failure: str, awaited: str) -> TransitionCallbackReturn:
        """Reports a failed transition; while the others may still be starting, only once that they are awaited."""
        if self._permanent_failure or not self._starting:
            self._report(diagnostics.ERROR, failure)
        elif awaited != self._awaited:
            self.get_logger().info(f"waiting for {awaited}")
            self._status = diagnostics.status(self._status.name, diagnostics.WARN, f"waiting for {awaited}", {})
        self._awaited, self._failure = awaited, failure
        return FAILURE

    def _report(self, level: bytes, message: str) -> None:
        if level == diagnostics.OK:
            self.get_logger().info(message)
        else:
            self.get_logger().error(message)
        self._status = diagnostics.status(self._status.name, level, message, {})
        self._repeat()

    def _repeat(self) -> None:
        self._diagnostics.publish(diagnostics.diagnostics(ros_now(self), self._status))

    def _autostart(self) -> None:
        """Configures and activates, or reports the cause on /diagnostics; with `run_once` runs a trial and ends."""
        self._starter.cancel()
        deadline, self._starting = time.monotonic() + self.options.startup_timeout_s, True
        while not (started := self._was_active or self._started()):
            if self._permanent_failure or time.monotonic() > deadline or self.finished.wait(0.5):
                break
        self._starting = False
        if not (started or self._permanent_failure or self.finished.is_set()):
            self._report(diagnostics.ERROR, self._failure)
        if self.options.run_once:
            self.exit_code = 0 if started and self._run_once() else 1
            self.finished.set()
        elif started:
            asked = (self._robot and self._robot.instruction) or "find an apple"
            self.get_logger().info(f"ready: `ferry trial '{asked}'` in another terminal begins a trial")

    def _run_once(self) -> bool:
        """Runs one trial; returns True if it was completed and not judged a failure."""
        from evaluation.reporting.film import film_aside  # here: a command line, with its parser

        trial = Trial()
        self._run_trial(Trigger.Request(), Trigger.Response(), trial)
        if chase := film_aside(trial.judged.get("record", ""), self.finished, self.get_logger().info):
            self.get_logger().info(f"{trial.judged['summary']}; seen from behind the robot: {chase}")
        return trial.succeeded

    def _started(self) -> bool:
        """Configures, unless configured already, and activates; False also where somebody else does it just now."""
        try:
            configured = self._policy is not None or self.trigger_configure() == SUCCESS
            return configured and bool(self.trigger_activate() == SUCCESS)
        except RCLError:  # a transition of the operator's page, or of a lifecycle manager, came in between
            return False


def main(args: Sequence[str] | None = None) -> None:
    """Entry point of the executable `policy_node`."""
    run(PolicyNode, args, threads=6)


if __name__ == "__main__":
    main()
