"""The loop: what is executed, what is never executed, and that the body is stopped on every way out."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import pytest
from scripted import SPEC, ScriptedSession, WatchedFake

from evaluation.runner import Runner
from evaluation.step import RunEnd, Step, Subscriber
from policy_server.errors import NotFinite, Unreachable
from robots.binding import bind
from robots.command import Chunk, Command, Done, MoveBase, Stop
from robots.execution.freshness import STALE
from robots.robot import Sent
from robots.spec import ContinuousActions, VectorSpec


@dataclass
class Diary:
    """Writes down its calls; `fails` names the call that raises."""

    fails: str = ""
    starts: int = 0
    steps: list[Step] = field(default_factory=list)
    ends: list[RunEnd] = field(default_factory=list)

    def on_start(self) -> None:
        self.starts += 1
        self._maybe_fail("on_start")

    def on_step(self, step: Step) -> None:
        self.steps.append(step)
        self._maybe_fail("on_step")

    def on_end(self, end: RunEnd) -> None:
        self.ends.append(end)
        self._maybe_fail("on_end")

    def _maybe_fail(self, call: str) -> None:
        if call == self.fails:
            raise OSError(f"disk full in {call}")


class Clock:
    """Nanoseconds that pass only when the test says so."""

    def __init__(self) -> None:
        self.now_ns = 0

    def __call__(self) -> int:
        return self.now_ns

    def sleep(self, seconds: float) -> None:
        self.now_ns += round(seconds * 1e9)


def runner(robot: WatchedFake, session: ScriptedSession, *subscribers: Subscriber, **options: int) -> Runner:
    robot.connect()
    return Runner(robot, session, **{"max_steps": 10, **options}, subscribers=subscribers)


def test_a_run_executes_the_script_feeds_it_back_and_ends_at_done() -> None:
    robot, diary = WatchedFake(), Diary()
    session = ScriptedSession(["move_ahead", "rotate_left", "done"])
    end = runner(robot, session, diary).run()
    assert end == RunEnd("done", "", 3)
    assert robot.commands == [MoveBase(0.2), robot.spec.actions["rotate_left"], Done()]
    assert session.reported == [None, "move_ahead", "rotate_left"]
    assert [step.decision.name for step in diary.steps] == ["move_ahead", "rotate_left", "done"]
    assert (diary.starts, diary.ends) == (1, [end])
    assert session.closed == 0  # whoever opened it closes it
    assert set(diary.steps[0].timing_s) == {"observe", "decide", "execute"}


def test_sub_done_is_executed_and_the_run_goes_on() -> None:
    robot = WatchedFake()
    assert runner(robot, ScriptedSession(["sub_done", "done"])).run() == RunEnd("done", "", 2)
    assert robot.commands == [Done(subgoal=True), Done()]


class Judged(WatchedFake):
    """A simulator that judges its task done after the second command."""

    def execute(self, command: Command) -> Sent:
        return replace(super().execute(command), ended=len(self.commands) == 2)


def test_a_robot_that_judges_its_task_done_ends_the_run() -> None:
    robot, diary = Judged(), Diary()
    end = runner(robot, ScriptedSession(["move_ahead"]), diary).run()
    assert end == RunEnd("done", "the task is done", 2)
    assert len(diary.steps) == len(robot.commands) == robot.calls.count("observe") == 2


def test_the_last_allowed_decision_is_still_executed() -> None:
    robot = WatchedFake()
    end = runner(robot, ScriptedSession(["rotate_left"]), max_steps=4).run()
    assert end == RunEnd("max_steps", "no 'done' within 4 decisions", 4)
    assert len(robot.commands) == 4


def test_a_blocked_action_is_reported_as_nothing_executed() -> None:
    robot = WatchedFake()
    robot.pose = (2.9, 0.0, 0.0)  # 0.1 m before the arena's wall
    session, diary = ScriptedSession(["move_ahead", "move_back", "done"]), Diary()
    runner(robot, session, diary).run()
    assert diary.steps[0].sent.blocked == "contact with the arena wall"
    assert session.reported == [None, None, "move_back"]


def test_a_late_decision_is_never_executed_and_the_body_is_stopped_and_asked_again() -> None:
    robot, clock, diary = WatchedFake(), Clock(), Diary()
    robot.connect()
    session = ScriptedSession(["move_ahead", "rotate_left", "done"], valid_for_s=0.5)
    session.before_act = lambda step: clock.sleep(0.501 if step == 0 else 0.5)
    end = Runner(robot, session, max_steps=10, clock=clock, subscribers=[diary]).run()
    assert end == RunEnd("done", "", 3, late=1)
    assert MoveBase(0.2) not in robot.commands
    assert robot.calls[:4] == ["observe", "execute", "observe", "execute"]
    assert robot.commands[0] == Stop(), "the trial goes on: a stop under its lease, which ends nothing"
    assert session.reported == [None, None, "rotate_left"]
    assert diary.steps[0].late
    assert diary.steps[0].sent.refused == "late: 0.501 s after the observation, expected at most 0.500 s"


def test_a_policy_that_is_always_late_ends_the_run_and_moves_nothing() -> None:
    robot, clock = WatchedFake(), Clock()
    robot.connect()
    session = ScriptedSession(["move_ahead"], before_act=lambda step: clock.sleep(2.0))
    end = Runner(robot, session, max_steps=10, max_late=4, clock=clock).run()
    assert (end.reason, end.steps, end.late) == ("late", 4, 4)
    assert "2.000 s after the observation" in end.message
    assert set(robot.commands) == {Stop()}


def test_what_the_robot_refuses_as_stale_counts_as_late() -> None:
    robot = WatchedFake()
    robot.connect()
    robot.execute = lambda command: Sent(command, refused=f"{STALE}0.6 s old")  # type: ignore[method-assign]
    end = Runner(robot, ScriptedSession(["move_ahead"]), max_steps=9, max_late=3).run()
    assert end == RunEnd("late", "stale: 0.6 s old", 3, late=3)


def test_late_decisions_count_only_when_they_come_in_a_row() -> None:
    robot, clock = WatchedFake(), Clock()
    robot.connect()
    session = ScriptedSession(["rotate_left"], before_act=lambda step: clock.sleep(2.0 * (step % 3 < 2)))
    end = Runner(robot, session, max_steps=9, max_late=3, clock=clock).run()
    moves = [command for command in robot.commands if command != Stop()]
    assert (end.reason, end.late, len(moves)) == ("max_steps", 6, 3)


@pytest.mark.parametrize("validity", [float("nan"), float("inf"), -1.0])
def test_a_validity_that_is_no_deadline_lets_nothing_move(validity: float) -> None:
    robot = WatchedFake()
    assert runner(robot, ScriptedSession(["move_ahead"], valid_for_s=validity)).run().reason == "late"
    assert set(robot.commands) == {Stop()}


@pytest.mark.parametrize("error", [NotFinite("got NaN"), Unreachable("no answer within 1.0 s"), KeyError("session")])
def test_a_policy_that_fails_ends_the_run_by_name(error: Exception) -> None:
    def fail(step: int) -> None:
        if step == 1:
            raise error

    robot, diary = WatchedFake(), Diary()
    end = runner(robot, ScriptedSession(["move_ahead"], before_act=fail), diary).run()
    assert (end.reason, end.message) == ("policy_failed", f"{type(error).__name__}: {error}")
    assert robot.calls[-1] == "stop"
    assert len(robot.commands) == 1
    assert diary.ends == [end]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"stamp_ns": 7}, "decision's observation: got stamp 7"),
        ({"action": 99}, "action: got 99, expected an available action of stretch_re1"),
        ({"action": None}, "action: got -1, expected an available action"),
        ({"chunk": np.zeros((1, 2), np.float32)}, "policy actions: got discrete, expected continuous"),
    ],
)
def test_a_decision_that_does_not_fit_is_not_executed(change: dict[str, object], message: str) -> None:
    robot = WatchedFake()
    end = runner(robot, ScriptedSession(["move_ahead"], change=lambda decision: replace(decision, **change))).run()
    assert end.reason == "policy_failed"
    assert message in end.message
    assert robot.commands == []


@pytest.mark.parametrize("call", ["observe", "execute", "stop"])
def test_a_body_that_fails_ends_the_run_by_name_and_was_asked_to_stop(call: str) -> None:
    robot, diary = WatchedFake(fails=call), Diary()
    end = runner(robot, ScriptedSession(["done"]), diary).run()
    assert end.reason == "robot_failed"
    assert "OSError: unplugged" in end.message
    assert robot.calls[-1] == "stop"
    assert diary.ends == [end]


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(3)])
@pytest.mark.parametrize("call", ["observe", "execute"])
def test_an_interrupt_stops_the_body_and_comes_through(call: str, error: BaseException) -> None:
    robot, diary = WatchedFake(fails=call, error=error), Diary()
    with pytest.raises(type(error)):
        runner(robot, ScriptedSession(["done"]), diary).run()
    assert robot.calls[-1] == "stop"
    assert diary.ends[0].reason == "interrupted"


@pytest.mark.parametrize("call", ["on_start", "on_step", "on_end"])
def test_a_subscriber_that_raises_never_prevents_the_stop_nor_the_news_for_others(call: str) -> None:
    robot, broken, diary = WatchedFake(), Diary(fails=call), Diary()
    with pytest.raises(OSError, match=f"disk full in {call}"):
        runner(robot, ScriptedSession(["move_ahead", "done"]), broken, diary).run()
    assert robot.calls[-1] == "stop"
    assert len(diary.ends) == len(broken.ends) == 1


def test_a_broken_subscriber_does_not_swallow_an_interrupt() -> None:
    robot = WatchedFake(fails="execute", error=KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        runner(robot, ScriptedSession(["done"]), Diary(fails="on_end")).run()


def test_interrupt_from_outside_stops_and_ends_the_run_before_the_next_motion() -> None:
    robot = WatchedFake()
    session = ScriptedSession(["move_ahead"])
    loop = runner(robot, session)
    session.before_act = lambda step: loop.interrupt("deactivated") if step == 2 else None
    end = loop.run()
    assert (end.reason, end.message) == ("interrupted", "deactivated")
    assert len(robot.commands) == 2
    assert robot.calls[-3:] == ["observe", "stop", "stop"]


def test_a_chunk_is_one_command() -> None:
    joints = ("joint_lift", "joint_arm")
    vector = VectorSpec(joints, ("m", "m"), (0.0, 0.0), (1.0, 0.5))
    spec = replace(SPEC, actions=ContinuousActions(vector, horizon=3, period_s=0.5))
    robot, diary = WatchedFake(), Diary()
    robot._spec = replace(robot.spec, chunks=(vector,))
    robot.connect()
    here = [robot.positions[joint] for joint in joints]
    rows = np.array([here, here], np.float32) + np.array([[0.05, 0.0], [0.1, 0.0]], np.float32)
    session = ScriptedSession(["done"], change=lambda one: replace(one, action=None, name="", chunk=rows))
    session.binding = bind(spec, robot.spec)
    Runner(robot, session, max_steps=1, subscribers=[diary]).run()
    assert robot.commands == [Chunk(joints, tuple(tuple(row) for row in rows.tolist()), 0.5)]
    assert diary.steps[0].sent.executed
    assert robot.positions["joint_lift"] == pytest.approx(here[0] + 0.1)
