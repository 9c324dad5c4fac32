"""Where trials take place: a body, how a trial begins on it, and who judges it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Protocol, TypeVar

from evaluation.plans.trial import Trial
from evaluation.policies import Source
from evaluation.runner import Runner
from evaluation.stages.judge import HumanJudge, Judge, Verdict
from evaluation.stages.scene import Scene
from evaluation.step import RunEnd, Subscriber
from robots.robot import Robot

Pose = tuple[float, float, float]
StageT = TypeVar("StageT", bound="Stage")


class CannotBegin(Exception):
    """This one trial cannot begin here (no such house, a person said no); others may."""


class Stage(Protocol):
    """A place for trials. Context manager: connects the body, and always stops and disconnects it.

    `name` says what it is in reports ("twin", "ros"); `attended` that a person is there, whose Ctrl-C ends a trial and
    not the evaluation.
    """

    name: str
    attended: bool

    @property
    def robot(self) -> Robot:
        """The body; its `spec` is readable before it is connected."""

    def begin(self, trial: Trial) -> Scene:
        """Called once per trial: puts the body where it begins. Raises CannotBegin when only this trial cannot."""

    def run(self, trial: Trial, scene: Scene, source: Source, subscribers: Sequence[Subscriber]) -> RunEnd:
        """Called once per trial that began: runs the policy's episode, here (`run_here`) or wherever its loop lives."""

    def verdict(self, end: RunEnd) -> Verdict:
        """Called once per trial that began, after the body was stopped."""

    def pose(self) -> Pose | None:
        """Called after every step: (x_m, y_m, yaw_rad) in the floor's frame; None when nobody knows."""

    def __enter__(self: StageT) -> StageT:
        """Connects."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stops and disconnects."""


def run_here(stage: Stage, trial: Trial, scene: Scene, source: Source, subscribers: Sequence[Subscriber]) -> RunEnd:
    """Runs an episode of `source` on the stage's body, in this process."""
    session, binding = source.open(stage.robot.spec, scene.instruction, trial.sampling_seed)
    try:
        return Runner(stage.robot, session, binding, max_steps=trial.max_steps, subscribers=subscribers).run()
    finally:
        session.close()


class RobotStage:
    """Any body in a real home: a person puts it where the trial begins, and says what became of it.

    Args:
        robot: the body.
        judge: who says what became of a trial.
        name: for reports.
        ask: shows a request and returns when the person has done it; EOFError when nobody is there.
        pose: where the body believes to be, (x_m, y_m, yaw_rad).
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
        """The body."""
        return self._robot

    def begin(self, trial: Trial) -> Scene:
        """Asks the person to put the robot where the trial begins; CannotBegin when nobody is there or they say no."""
        start = trial.start
        if start is None:
            raise CannotBegin(f"{trial.place}: got a simulated house, expected a start in a real home")
        if self._ask is not None and self._answer(start.name, start.instruction).startswith("s"):
            raise CannotBegin("skipped by the person beside the robot")
        return Scene(start.instruction, start.target)

    def run(self, trial: Trial, scene: Scene, source: Source, subscribers: Sequence[Subscriber]) -> RunEnd:
        """Runs the policy's episode in this process."""
        return run_here(self, trial, scene, source, subscribers)

    def verdict(self, end: RunEnd) -> Verdict:
        """What the judge says."""
        return self._judge.verdict(end)

    def pose(self) -> Pose | None:
        """Where the body believes to be."""
        return self._pose()

    def __enter__(self) -> RobotStage:
        self._robot.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._robot.__exit__(kind, error, trace)

    def _answer(self, place: str, instruction: str) -> str:
        assert self._ask is not None
        try:
            return self._ask(f'\nplace the robot at "{place}" for "{instruction}" ([enter] to go, [s]kip): ').lower()
        except EOFError as error:
            raise CannotBegin("nobody answered") from error
