"""Environments of trials: a robot, the start of a trial, and its judge."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Protocol, TypeVar

from evaluation.plans.trial import Trial
from evaluation.policies import PlanPolicy
from evaluation.runner import run_episode
from evaluation.stages.judge import HumanJudge, Judge, Verdict
from evaluation.stages.trial_setup import TrialSetup
from evaluation.step import RunEnd, Subscriber
from robots.robot import Robot

Pose = tuple[float, float, float]
EnvironmentT = TypeVar("EnvironmentT", bound="TrialEnvironment")


class TrialSkipped(Exception):
    """This trial cannot begin (no such house, or a person skipped it); others may."""


class TrialEnvironment(Protocol):
    """Environment of trials. Context manager: connects the robot, and always stops and disconnects it.

    `name` identifies it in reports ("twin", "ros"); with `attended`, a person is present, whose Ctrl-C ends the trial
    and not the evaluation.
    """

    name: str
    attended: bool

    @property
    def robot(self) -> Robot:
        """The robot; its `spec` is readable before it is connected."""

    def begin(self, trial: Trial) -> TrialSetup:
        """Called once per trial: places the robot at the start. Raises TrialSkipped if this trial cannot begin."""

    def run(self, trial: Trial, setup: TrialSetup, policy: PlanPolicy, subscribers: Sequence[Subscriber]) -> RunEnd:
        """Called once per trial that began: runs the policy's episode, here (`run_here`) or in another process."""

    def verdict(self, end: RunEnd) -> Verdict:
        """Called once per trial that began, after the robot was stopped."""

    def pose(self) -> Pose | None:
        """Called after every step: (x_m, y_m, yaw_rad) in the floor's frame; None if unknown."""

    def __enter__(self: EnvironmentT) -> EnvironmentT:
        """Connects."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stops and disconnects."""


def run_here(
    environment: TrialEnvironment,
    trial: Trial,
    setup: TrialSetup,
    policy: PlanPolicy,
    subscribers: Sequence[Subscriber],
) -> RunEnd:
    """Runs an episode of `policy` on the environment's robot, in this process."""
    return run_episode(
        environment.robot,
        policy.policy,
        setup.instruction,
        sampling=policy.entry.sampling,
        seed=trial.sampling_seed,
        chunks=policy.chunks,
        max_steps=trial.max_steps,
        subscribers=subscribers,
    )


class RobotEnvironment:
    """Any robot in a real home: a person places it at the start of each trial, and judges the outcome.

    Args:
        robot: the robot.
        judge: judge of the outcome.
        name: name in reports.
        ask: shows a request and returns when the person has done it; EOFError without a terminal.
        pose: returns the robot's estimated (x_m, y_m, yaw_rad).
    """

    def __init__(
        self,
        robot: Robot,
        judge: Judge | None = None,
        *,
        name: str,
        ask: Callable[[str], str] | None = input,
        pose: Callable[[], Pose | None] = lambda: None,
    ) -> None:
        self._robot, self._judge = robot, judge or HumanJudge()
        self.name, self.attended = name, ask is not None
        self._ask, self._pose = ask, pose

    @property
    def robot(self) -> Robot:
        """The robot."""
        return self._robot

    def begin(self, trial: Trial) -> TrialSetup:
        """Asks the person to place the robot at the start; TrialSkipped if there is no answer, or they skip it."""
        start = trial.start
        if start is None:
            raise TrialSkipped(f"{trial.place}: got a simulated house, expected a start in a real home")
        if self._ask is not None and self._answer(start.name, start.instruction).startswith("s"):
            raise TrialSkipped("skipped by the person beside the robot")
        return TrialSetup(start.instruction, start.target)

    def run(self, trial: Trial, setup: TrialSetup, policy: PlanPolicy, subscribers: Sequence[Subscriber]) -> RunEnd:
        """Runs the policy's episode in this process."""
        return run_here(self, trial, setup, policy, subscribers)

    def verdict(self, end: RunEnd) -> Verdict:
        """Returns the judge's verdict."""
        return self._judge.verdict(end)

    def pose(self) -> Pose | None:
        """Returns the robot's estimated pose."""
        return self._pose()

    def __enter__(self) -> RobotEnvironment:
        self._robot.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._robot.__exit__(kind, error, trace)

    def _answer(self, place: str, instruction: str) -> str:
        assert self._ask is not None
        try:
            return self._ask(f'\nplace the robot at "{place}" for "{instruction}" ([enter] to start, [s]kip): ').lower()
        except EOFError as error:
            raise TrialSkipped("nobody answered") from error
