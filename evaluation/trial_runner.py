"""Runs the trials of a plan one after the other, on the stages they need."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType

from evaluation.errors import PlanError, StageError
from evaluation.plans.plan import Plan
from evaluation.plans.trial import Outcome, Trial
from evaluation.policies import PolicyIdentity, Source, open_source
from evaluation.records.episode import Episode
from evaluation.records.recorder import Recorder, write_aborted
from evaluation.records.run_folder import RunFolder
from evaluation.stages.failure import ABORTS
from evaluation.stages.judge import DoneJudge, Verdict
from evaluation.stages.stage import CannotBegin, RobotStage, Stage
from evaluation.step import RunEnd, Subscriber
from policy_server.errors import PolicyError
from robots.binding import bind
from robots.errors import RobotError
from robots.fakes.kinematic import FakeOptions, FakeRobot
from robots.spec import PolicySpec

MAX_ABORTED = 3
"""So many trials in a row that policy or body failed are no coincidence: the evaluation ends."""

StageFactory = Callable[[Plan], Stage]


@dataclass(frozen=True)
class ExaminerOptions:
    """`token` is for policy servers; `threads` for one inference in this process, 0 for one per core."""

    has_video: bool = True
    token: str | None = None
    threads: int = 0


class Examiner:
    """Context manager: opens the policies, connects bodies when they are first needed, and lets all go at the end.

    Args:
        plan: what is evaluated.
        stages: how to come by the stage of a `Plan.robot` that this package does not know itself.
    """

    def __init__(
        self, plan: Plan, options: ExaminerOptions | None = None, stages: Mapping[str, StageFactory] | None = None
    ) -> None:
        self.plan, self.options = plan, options or ExaminerOptions()
        self._factories, self._open = dict(stages or {}), ExitStack()
        self._sources: dict[str, Source] = {}
        self._stages: dict[object, Stage] = {}
        self._aborted = 0

    def __enter__(self) -> Examiner:
        with self._open:  # what was opened is closed when the next cannot be
            for entry in self.plan.policies:
                if not entry.expert:
                    source = open_source(entry, token=self.options.token, threads=self.options.threads)
                    self._sources[entry.name] = source
                    self._open.callback(source.close)
                    self._check_horizon(entry.name, source.spec)
            self._open = self._open.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.__exit__(kind, error, trace)

    @property
    def policies(self) -> tuple[PolicyIdentity, ...]:
        """Which policies they are, in the order of the plan."""
        expert = {one.name: PolicyIdentity(one.name, "", "expert") for one in self.plan.policies if one.expert}
        return tuple(expert[one.name] if one.expert else self._sources[one.name].identity for one in self.plan.policies)

    def run(self, trial: Trial, folder: RunFolder, subscribers: Sequence[Subscriber] = ()) -> Episode:
        """Runs one trial and returns its record.

        Raises KeyboardInterrupt after recording it, BindError when policy and body do not fit, StageError when too many
        trials in a row failed in the same way, and whatever a stage or the disk raises.
        """
        stage, source = self._stage(trial.policy)
        episode = self._run(trial, folder, stage, source, subscribers)
        self._aborted = self._aborted + 1 if episode.failure in ("policy failed", "robot failed") else 0
        if self._aborted >= MAX_ABORTED:
            again = "mend that and run the same command again with --retry-aborted"
            raise StageError(f"{self._aborted} trials in a row were aborted, the last one: {episode.note}; {again}")
        return episode

    def _run(
        self, trial: Trial, folder: RunFolder, stage: Stage, source: Source, subscribers: Sequence[Subscriber]
    ) -> Episode:
        known = self._record(trial, folder, stage, source)
        try:
            scene = stage.begin(trial)
        except CannotBegin as error:
            return write_aborted(folder.trial(trial), known, "could not begin", str(error))
        recorder = Recorder(folder.trial(trial), known, scene, self.options.has_video, stage.pose)
        try:
            end = stage.run(trial, scene, source, (recorder, *subscribers))
        except (PolicyError, RobotError) as error:
            end = RunEnd("policy_failed", f"{type(error).__name__}: {error}", len(recorder.steps))
        except KeyboardInterrupt:
            end = RunEnd("interrupted", "by the person beside the robot", len(recorder.steps))
            if not stage.attended:
                recorder.finish(Verdict(Outcome.ABORTED, "interrupted"))
                raise
        return recorder.finish(_verdict(stage, end))

    def _record(self, trial: Trial, folder: RunFolder, stage: Stage, source: Source) -> Episode:
        before, identity = folder.episode(trial), source.identity
        return Episode(
            trial,
            Outcome.ABORTED,
            bundle_sha256=identity.bundle_sha256,
            manifest=str(identity.manifest.get("name", "")),
            embodiment=stage.robot.spec.name,
            robot=stage.name,
            git_commit=folder.info.git_commit,
            attempt=before.attempt + 1 if before else 1,
        )

    def _check_horizon(self, name: str, spec: PolicySpec) -> None:
        if self.plan.max_steps > spec.horizon:
            raise PlanError(
                f"plan '{self.plan.name}': max_steps", self.plan.max_steps, f"<= {spec.horizon} of '{name}'"
            )

    def _stage(self, policy: str) -> tuple[Stage, Source]:
        """The stage of a policy, connected, and the policy; in simulation its cameras have the size it takes."""
        source = self._sources.get(policy)
        cameras = source.spec.cameras if source else ()
        size = max(((one.height, one.width) for one in cameras), default=None)
        key = size if self.plan.robot == "twin" else None
        if key not in self._stages:
            stage = self._new_stage(size)
            if source is not None:
                bind(source.spec, stage.robot.spec)  # before anything moves or a house is built
            self._stages[key] = self._open.enter_context(stage)
        stage = self._stages[key]
        if source is None:
            from evaluation.expert_policy import ExpertSource
            from evaluation.stages.twin_stage import TwinStage

            assert isinstance(stage, TwinStage)  # a plan has the expert on the twin only
            source = ExpertSource(policy, stage.twin)
        return stage, source

    def _new_stage(self, size: tuple[int, int] | None) -> Stage:
        robot = self.plan.robot
        if robot == "twin":
            from evaluation.stages.twin_stage import DEFAULT_SIZE, TwinStage  # a robot's computer has no simulator

            return TwinStage(self.plan.twin, size or DEFAULT_SIZE)
        if robot == "fake":
            return RobotStage(FakeRobot(FakeOptions(real_time=False)), DoneJudge(), name="fake", ask=None)
        if robot not in self._factories:
            raise StageError(f"robot '{robot}': got no way to reach it, expected one of twin, fake, {self._factories}")
        return self._factories[robot](self.plan)


def _verdict(stage: Stage, end: RunEnd) -> Verdict:
    """The judge's, unless the trial says nothing of the policy. A person who interrupted it is asked why."""
    if end.reason in ABORTS and not (stage.attended and end.reason == "interrupted"):
        return Verdict(Outcome.ABORTED, end.message)
    return stage.verdict(end)
