"""`policy_node`: a managed node that drives the robot in its namespace with the policy of a policy server.

configure: asks the server for its manifest and the robot for its robot, and binds them, or says what does not fit.
activate: listens to the robot. `~/run_trial` runs one episode and answers with how it ended; `~/decision` tells each
step; `~/end_trial` ends it early. Whatever ends the node, a trial or a transition, the robot is stopped first.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup, ReentrantCallbackGroup
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from std_msgs.msg import String
from std_srvs.srv import Trigger

from evaluation.errors import EvaluationError
from evaluation.runner import Runner
from evaluation.step import Reason, RunEnd, Step
from ferry_ros import trial_record
from ferry_ros.messages import diagnostics, qos
from ferry_ros.messages.steps import step_msg
from ferry_ros.rclpy_support import parameters
from ferry_ros.rclpy_support.claim import Claim
from ferry_ros.rclpy_support.process import fail, run
from ferry_ros.rclpy_support.timer import steady_timer
from ferry_ros.ros_robot import RobotStopped, RosRobot, RosRobotOptions, find_body
from ferry_ros.server_watchdog import ServerWatchdog
from ferry_ros.trial_record import TrialRecord
from policy_server.client import PolicyClient
from policy_server.errors import BundleError, PolicyError, Unreachable
from policy_server.manifest import PolicyManifest
from robots.binding import Binding, bind
from robots.errors import ConnectionFailed, RobotError

SUCCESS, FAILURE = TransitionCallbackReturn.SUCCESS, TransitionCallbackReturn.FAILURE


@dataclass(frozen=True)
class PolicyNodeOptions:
    """Parameters of policy_node. Those of a trial are read when it begins.

    Attributes:
        server_url: the policy server.
        token: its bearer token; empty when it wants none.
        bundle_sha256: hash that the served bundle must have for a trial; empty takes any.
        body: name of the robot the robot must have; empty takes any that the policy fits.
        control_period_s: how long after its observation a decision may start to be executed, and the longest time for
            one decision; 0 takes the policy's control period, which it never exceeds.
        server_timeout_s: while a trial runs the server is asked ten times a second whether it lives; without an answer
            for so long the trial ends, also in the middle of a motion; 0 does not ask.
        observe_timeout_s: longest wait for a new observation.
        motion_timeout_s: longest wait for the result of a command.
        instruction: what the robot is asked to do, in words; empty takes what the robot's episode asks for.
        sampling: greedy, sample, or uniform (the random baseline).
        seed: of the sampling.
        max_steps: decisions until a trial ends; 0 takes the policy's horizon.
        autostart: configure and activate without a lifecycle manager; retries while server or robot are not there yet.
        startup_timeout_s: how long autostart retries.
        record: folder in which every trial is written down; empty for none.
        run_once: with autostart, run one trial and end; the exit status is 1 when it did not come to its end.
    """

    server_url: str = "http://127.0.0.1:8765"
    token: str = ""
    bundle_sha256: str = ""
    body: str = ""
    control_period_s: float = 0.0
    server_timeout_s: float = 0.3
    observe_timeout_s: float = 2.0
    motion_timeout_s: float = 10.0
    instruction: str = ""
    sampling: str = "greedy"
    seed: int = 0
    max_steps: int = 0
    autostart: bool = False
    startup_timeout_s: float = 60.0
    record: str = ""
    run_once: bool = False


@dataclass
class Trial:
    """The trial under way, from the moment it was asked for: it may be ended before its Runner exists."""

    runner: Runner | None = None
    ending: str = ""
    why: Reason = "interrupted"

    def begin(self, runner: Runner) -> RunEnd:
        """Runs it, unless it was ended already."""
        self.runner = runner
        if self.ending:  # looked at after the runner was set, as `end` sets it before it looks for the runner
            runner.interrupt(self.ending)
        end = runner.run()
        return replace(end, reason=self.why, message=self.ending) if self.ending else end

    def end(self, reason: str, why: Reason = "interrupted") -> None:
        """Ends it, whether it runs already or not; from any thread."""
        self.ending, self.why = reason, why
        if self.runner:
            self.runner.interrupt(reason)


class PolicyNode(LifecycleNode):
    """Hosts the Runner over ROS topics."""

    def __init__(self) -> None:
        super().__init__("policy_node")
        self.finished, self.exit_code = threading.Event(), 0
        parameters.declare(self, PolicyNodeOptions)
        self._claim = Claim(self, "policy_node", self._take_conflict, partial(fail, self))
        self._claim.settle()
        own = MutuallyExclusiveCallbackGroup  # so that none waits for another
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", qos.EVERY)
        self._decisions = self.create_publisher(DiagnosticArray, "~/decision", qos.ALL)
        self._trials = self.create_publisher(DiagnosticArray, "~/trial", qos.LATCHED)
        self._instruction = self.create_publisher(String, "~/instruction", qos.LATCHED)
        self.create_service(Trigger, "~/run_trial", self._run_trial, callback_group=ReentrantCallbackGroup())
        self.create_service(Trigger, "~/end_trial", self._end_trial, callback_group=own())
        self._said = diagnostics.status(f"{self.get_name()}: policy", diagnostics.OK, "unconfigured", {})
        steady_timer(self, 1.0, self._repeat, own())
        self._client: PolicyClient | None = None
        self._manifest: PolicyManifest | None = None
        self._binding: Binding | None = None
        self._robot: RosRobot | None = None
        self._current: Trial | None = None
        self._bundle_sha256 = ""
        self._trial = threading.Lock()
        self._hopeless = False
        if self.options.autostart:
            self._starter = steady_timer(self, 0.0, self._autostart, own())

    @property
    def options(self) -> PolicyNodeOptions:
        """The parameters as they are now."""
        return parameters.read(self, PolicyNodeOptions)

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Reads the manifest and binds it to the robot's body; FAILURE names the difference."""
        try:
            self._bind(self.options)
        except (PolicyError, RobotError, ValueError) as error:
            self._hopeless = not isinstance(error, (Unreachable, ConnectionFailed))
            self._tell(diagnostics.ERROR, f"not configured: {type(error).__name__}: {error}")
            return FAILURE
        assert self._manifest is not None  # `_bind` read it
        self._tell(diagnostics.OK, f"configured with policy {self._manifest.name}")
        return SUCCESS

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Listens to the robot; FAILURE when it does not speak."""
        assert self._robot is not None  # configured
        try:
            self._robot.connect()
        except RobotError as error:
            self._tell(diagnostics.ERROR, f"not activated: {error}")
            return FAILURE
        self._tell(diagnostics.OK, "active")
        return super().on_activate(state)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Ends a running trial and stops the robot."""
        self._end("deactivated")
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Lets the server go."""
        self._release()
        return SUCCESS

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Ends a running trial, stops the robot and lets the server go."""
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

    def _take_conflict(self, words: str) -> None:
        if words and (current := self._current):
            current.end(words)

    def _bind(self, options: PolicyNodeOptions) -> None:
        with PolicyClient(options.server_url, token=options.token or None) as client:
            self._manifest, self._bundle_sha256 = client.manifest(), client.bundle_sha256()
        period_s = self._manifest.spec.control_period_s
        period_s = min(options.control_period_s or period_s, period_s)
        body = find_body(self, options.body, timeout_s=5.0)
        self._binding = bind(self._manifest.spec, body)
        waits = RosRobotOptions(
            valid_for_s=period_s,
            observe_timeout_s=options.observe_timeout_s,
            motion_timeout_s=options.motion_timeout_s,
        )
        self._robot = RosRobot(self, body, waits)
        self._client = PolicyClient(options.server_url, token=options.token or None, timeout_s=period_s)

    def _end(self, reason: str) -> None:
        """Ends a running trial, waits for it, stops the robot and lets its topics go."""
        current = self._current
        if current:
            current.end(reason)
        if self._robot and not (current and current.runner):
            self._robot.stop()
        if self._trial.acquire(timeout=5.0):
            self._trial.release()
        if self._robot:
            self._robot.disconnect()

    def _release(self) -> None:
        if self._client:
            self._client.close()
        self._client = self._manifest = self._binding = self._robot = None

    def _run_trial(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        if not self._trial.acquire(blocking=False):
            response.message = "busy: a trial is running"
            return response
        self._current = Trial()
        try:
            end = self._play(self._current)
            response.success = end.reason in ("done", "max_steps")
            response.message = json.dumps(asdict(end))
            self._tell_trial(end, response.success)
        finally:
            self._current = None
            self._trial.release()
        return response

    def _end_trial(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        current = self._current
        if current:
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
        if not self._client or not self._binding or not self._robot or not self._manifest or not self._active():
            return RunEnd("interrupted", "policy_node is not active; configure and activate it first", 0)
        if options.bundle_sha256 not in ("", self._bundle_sha256):
            raise BundleError(f"bundle: got {self._bundle_sha256}, expected {options.bundle_sha256}")
        instruction = options.instruction or self._robot.instruction
        session = self._client.open(self._binding.body, instruction, sampling=options.sampling, seed=options.seed)
        try:
            self._expect_configured(session.bundle_sha256)
            self._instruction.publish(String(data=instruction))  # whoever judges must know what was asked
            steps = options.max_steps or self._manifest.spec.horizon
            recorded, watched = self._recorded(options, instruction, steps), self._watched(trial, options)
            with recorded as record, self._robot.driving(), watched:
                both = (self, record)
                runner = Runner(self._robot, session, session.binding, max_steps=steps, subscribers=both)
                end = trial.begin(runner)
            return replace(end, message="; ".join(filter(None, (end.message, record.trouble))))
        finally:
            session.close()

    def _watched(self, trial: Trial, options: PolicyNodeOptions) -> AbstractContextManager[object]:
        """Ends the trial when the server is lost."""
        assert self._client is not None  # a trial has one
        lost = partial(trial.end, why="policy_failed")
        return (
            ServerWatchdog(self._client, options.server_timeout_s, lost)
            if options.server_timeout_s > 0
            else nullcontext()
        )

    @contextmanager
    def _recorded(self, options: PolicyNodeOptions, instruction: str, steps: int) -> Iterator[TrialRecord]:
        """The record of a trial, which writes nothing where none is asked for; it is finished on every way out."""
        assert self._manifest is not None  # a trial has it, and the binding
        assert self._binding is not None
        folder = Path(options.record).expanduser() if options.record else None
        known = (self._manifest.name, self._bundle_sha256, self._binding.body.name)
        record = trial_record.begin(folder, instruction, *known, steps)
        try:
            yield record
        finally:
            if folder is not None or options.run_once:
                verdict = trial_record.verdict(self, record.end)
                record.finish(verdict)
                self.get_logger().info(f"verdict: {verdict.outcome.value}" + (verdict.note and f": {verdict.note}"))

    def _expect_configured(self, got: str) -> None:
        """A server that was started again may serve another bundle, whose actions, period and horizon are others."""
        if got != self._bundle_sha256:
            raise BundleError(f"bundle: got {got}, expected {self._bundle_sha256}; configure policy_node again")

    def _active(self) -> bool:
        return bool(self._state_machine.current_state[1] == "active")

    def on_start(self) -> None:
        """Subscriber of the Runner: nothing to say yet."""

    def on_step(self, step: Step) -> None:
        """Subscriber of the Runner: publishes the decision and what became of it."""
        self._decisions.publish(step_msg(step))

    def on_end(self, end: RunEnd) -> None:
        """Subscriber of the Runner: the trial's end is told where it was asked for."""

    def _tell_trial(self, end: RunEnd, finished: bool) -> None:
        message = f"trial ended: {end.reason}" + (f": {end.message}" if end.message else "")
        one = diagnostics.status("trial", diagnostics.OK if finished else diagnostics.ERROR, end.reason, asdict(end))
        self._trials.publish(diagnostics.diagnostics(time.monotonic_ns(), one))
        self._tell(diagnostics.OK if finished else diagnostics.ERROR, message)

    def _tell(self, level: bytes, message: str) -> None:
        if level == diagnostics.OK:
            self.get_logger().info(message)
        else:
            self.get_logger().error(message)
        self._said = diagnostics.status(self._said.name, level, message, {})
        self._repeat()

    def _repeat(self) -> None:
        self._diagnostics.publish(diagnostics.diagnostics(time.monotonic_ns(), self._said))

    def _autostart(self) -> None:
        """Starts, or stays as it is and says on /diagnostics what is in the way; with `run_once` it then ends."""
        self._starter.cancel()
        deadline = time.monotonic() + self.options.startup_timeout_s
        while not (started := self._started()):
            if self._hopeless or time.monotonic() > deadline or self.finished.wait(0.5):
                break
        if self.options.run_once:
            success = started and self._run_trial(Trigger.Request(), Trigger.Response()).success
            self.exit_code = 0 if success else 1
            self.finished.set()

    def _started(self) -> bool:
        """Configures, unless that was done, and activates."""
        configured = self._client is not None or self.trigger_configure() == SUCCESS
        return configured and bool(self.trigger_activate() == SUCCESS)


def main(args: Sequence[str] | None = None) -> None:
    """Entry point of the executable `policy_node`."""
    run(PolicyNode, args, threads=6)


if __name__ == "__main__":
    main()
