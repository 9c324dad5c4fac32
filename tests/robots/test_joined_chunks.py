"""Chunks under the executor: they follow one another without a pause, and every rule of a stop holds."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
from hosts import wait_for
from planned_arm import SPEC, PlannedArm

from evaluation.pace import Pace
from evaluation.runner import Runner
from evaluation.step import RunEnd
from policy_server.decision import Decision
from policy_server.policy import PolicySession
from robots.binding import Binding, ChunkSettings, bind
from robots.command import Chunk
from robots.embodiments.piper import HOME_RAD
from robots.embodiments.piper_urdf import ARM
from robots.errors import SpecError
from robots.execution.command_request import CommandRequest, CommandResult
from robots.execution.executed_robot import ExecutedRobot
from robots.execution.executor import Executor, ExecutorOptions
from robots.limits import GRIPPER_JOINT
from robots.observation import Observation
from robots.spec import EMPTY_VECTOR, ContinuousActions, PolicySpec

pytest.importorskip("pinocchio", reason="the extra `arm` is not installed")

NAMES = (*ARM, GRIPPER_JOINT)
PERIOD_S, SPEED = 0.1, 0.3
OPTIONS = ExecutorOptions(control_period_s=4.0, observe_period_s=0.05, silence_periods=0.5, frozen_periods=0.25)
"""Times are long here: a machine that stalls for half a second must not fail a test."""

LONG = 30
"""Rows of a chunk, which takes 3 s."""


@dataclass
class Host:
    """An executor with an arm, and everything it reported."""

    arm: PlannedArm = field(default_factory=PlannedArm)
    observations: list[Observation] = field(default_factory=list)
    results: list[CommandResult] = field(default_factory=list)
    stops: list[str] = field(default_factory=list)
    lease: str = ""

    def __post_init__(self) -> None:
        self.executor = Executor(
            self.arm,
            OPTIONS,
            on_observation=self.observations.append,
            on_result=self.results.append,
            on_stop=lambda reason, _: self.stops.append(reason),
        )

    def fresh(self) -> Observation:
        """The next observation."""
        count = len(self.observations)
        wait_for(lambda: len(self.observations) > count)
        return self.observations[-1]

    def decide(self, rows: int = LONG, speed: float = SPEED, joins: bool = True) -> CommandRequest:
        """A chunk that moves the first joint on at `speed` from where it is seen."""
        seen = self.fresh()
        start = seen.state["joints"].tolist()
        ways = [start[0] + speed * PERIOD_S * k for k in range(1, rows + 1)]
        chunk = Chunk(NAMES, tuple((way, *start[1:]) for way in ways), PERIOD_S, joins)
        return CommandRequest(seen.stamp_ns, chunk, 4.0, self.lease)

    def tell(self, request: CommandRequest) -> CommandResult:
        count = len(self.results)
        self.executor.submit(request)
        wait_for(lambda: len(self.results) > count)
        return self.results[count]

    def moving(self, rows: int = LONG) -> None:
        """Begins a first chunk under a new lease."""
        self.lease = self.executor.begin()
        assert self.tell(self.decide(rows)).sent.executed

    def at(self) -> float:
        return float(self.arm.at[0])

    def at_rest(self) -> None:
        wait_for(lambda: self.executor.status.state != "moving")


@pytest.fixture
def host() -> Iterator[Host]:
    made = Host()
    with made.executor:
        yield made


def test_the_next_chunk_is_joined_on_and_the_arm_never_slows_down(host: Host) -> None:
    host.moving()
    count = len(host.observations)
    for _ in range(3):
        time.sleep(0.3)
        assert host.tell(host.decide()).sent.executed
    seen = host.observations[count:]
    times = np.array([one.stamp_ns / 1e9 for one in seen])
    places = np.array([one.state["joints"][0] for one in seen], dtype=np.float64)
    steady = times > times[0] + 0.3
    speeds = np.diff(places[steady]) / np.diff(times[steady])
    assert speeds.min() > 0.3 * SPEED  # rows that count from where the arm is lag a little: it slows, and never stops
    assert host.executor.stop("enough")
    assert host.executor.status.counts["executed"] == 4


def test_it_ends_at_rest_by_itself_and_then_waits_as_ever(host: Host) -> None:
    host.moving(3)
    host.at_rest()
    assert host.at() == pytest.approx(HOME_RAD[0] + 3 * SPEED * PERIOD_S, abs=0.001)
    assert host.stops == []
    wait_for(lambda: host.stops)
    assert host.stops[0].startswith("no fresh order for ")


def test_a_stop_in_a_join_ends_everything_and_nothing_of_it_runs_later(host: Host) -> None:
    host.moving()
    late = host.decide(speed=-SPEED)
    assert host.tell(host.decide(speed=-SPEED)).sent.executed  # its join takes 0.1 s and more
    assert host.executor.stop("operator stop")
    at_rest = host.at()
    refused = host.tell(late)
    assert refused.sent.refused
    assert "operator stop" in refused.stopped
    wait_for(lambda: any(one.stopped == "operator stop" and one.sent.blocked for one in host.results))
    time.sleep(0.2)
    assert host.at() == at_rest
    host.moving()
    wait_for(lambda: host.at() > at_rest + 0.03)
    assert host.executor.stop("enough")


def test_a_late_chunk_is_dropped_and_the_robot_is_at_rest(host: Host) -> None:
    host.moving(5)
    late = host.decide()
    host.at_rest()
    at_rest = host.at()
    result = host.tell(late)
    assert result.sent.refused.startswith("late: ")
    assert result.stopped == "", "the client may ask again"
    assert result.after_ns >= late.stamp_ns
    assert host.at() == at_rest
    assert host.tell(host.decide()).sent.executed, "from rest"
    assert host.executor.stop("enough")


def test_a_second_chunk_that_is_not_a_number_is_refused_and_the_first_goes_on(host: Host) -> None:
    host.moving(10)
    bad = host.decide()
    rows = bad.command.rows  # type: ignore[union-attr]
    nan = replace(bad.command, rows=(rows[0], (math.nan, *rows[1][1:]), *rows[2:]))  # type: ignore[arg-type]
    assert "nan" in host.tell(replace(bad, command=nan)).sent.refused
    host.at_rest()
    assert host.at() == pytest.approx(HOME_RAD[0] + 10 * SPEED * PERIOD_S, abs=0.001)
    assert host.stops == []


@pytest.mark.parametrize("change", ["jump", "another lease", "the same observation again", "no rows"])
def test_what_would_be_refused_at_rest_is_refused_in_motion(host: Host, change: str) -> None:
    host.moving()
    request = host.decide()
    chunk = request.command
    assert isinstance(chunk, Chunk)
    if change == "jump":
        far = tuple((row[0] + 2.0, *row[1:]) for row in chunk.rows)
        request = replace(request, command=replace(chunk, rows=far))
    elif change == "another lease":
        request = replace(request, lease="somebody")
    elif change == "no rows":
        request = replace(request, command=replace(chunk, rows=()))
    else:
        assert host.tell(request).sent.executed
    refused = host.tell(request).sent.refused
    expected = {"jump": "jump: ", "another lease": "no lease", "no rows": "chunk of 0 rows"}
    assert refused.startswith(expected.get(change, "replayed: ")), refused
    assert host.executor.status.state == "moving"
    assert host.executor.stop("enough")


def test_a_chunk_that_joins_nothing_is_busy_while_one_runs(host: Host) -> None:
    host.moving()
    assert host.tell(host.decide(joins=False)).sent.refused == "busy: another command is running"
    assert host.executor.stop("enough")


def test_cameras_that_freeze_during_a_motion_stop_it(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    host.moving()
    last = host.fresh()
    monkeypatch.setattr(host.arm, "observe", lambda: last)
    wait_for(lambda: host.stops)
    assert host.stops[0].startswith("camera frozen")
    host.at_rest()


@dataclass
class Wave(PolicySession):
    """A session whose chunks follow a wave of the first joint, after some thought."""

    binding: Binding
    thinks_s: float
    before: Callable[[int], None] = lambda step: None
    count: int = 0
    begun_ns: int = 0

    def act(self, observation: Observation, executed: str | None = None) -> Decision:
        """The next 16 rows from the observation's time on."""
        self.before(self.count)
        self.begun_ns = self.begun_ns or observation.stamp_ns
        since_s = (observation.stamp_ns - self.begun_ns) / 1e9 + PERIOD_S * np.arange(1, 17)
        rows = np.tile(np.array([*HOME_RAD, 0.02], np.float32), (16, 1))
        rows[:, 0] += (0.25 * (1 - np.cos(1.2 * since_s))).astype(np.float32)
        time.sleep(self.thinks_s)
        self.count += 1
        return Decision(observation.stamp_ns, self.count - 1, chunk=rows, valid_for_s=4.0)


def policy(joins: bool) -> PolicySpec:
    return PolicySpec((), EMPTY_VECTOR, ContinuousActions(SPEC.chunks[0], 16, PERIOD_S, 4, joins, 1.2), 100, 4.0)


def run(joins: bool, before: Callable[[int], None] = lambda step: None, steps: int = 5) -> tuple[RunEnd, float]:
    """A run of the one loop of deployment, and its duration [s]."""
    with ExecutedRobot(PlannedArm(), OPTIONS) as robot:
        began_s = time.monotonic()
        end = Runner(robot, Wave(bind(policy(joins), SPEC), 0.25, before), max_steps=steps).run()
        assert robot.executor.status.counts["executed"] >= end.steps
        return end, time.monotonic() - began_s


def test_the_runner_asks_while_the_arm_moves() -> None:
    (joined, took_s), (in_turn, longer_s) = run(True), run(False)
    assert (joined.reason, joined.late) == (in_turn.reason, in_turn.late) == ("max_steps", 0)
    assert longer_s > took_s + 0.5, "the arm waits while each chunk is thought of"


def test_a_policy_that_fails_during_a_motion_stops_the_arm() -> None:
    def fail(step: int) -> None:
        if step == 2:
            raise ValueError("not a number")

    end, _ = run(True, fail)
    assert (end.reason, end.message, end.steps) == ("policy_failed", "ValueError: not a number", 2)


def test_the_next_chunk_is_asked_for_early_enough_for_the_longest_delay_of_late() -> None:
    pace, actions = Pace(), ContinuousActions(SPEC.chunks[0], 16, PERIOD_S, 12, True)
    chunk = Chunk(NAMES, ((0.0,) * 7,) * 16, PERIOD_S, True)
    assert pace.ask_after_s(chunk, actions) == pytest.approx(1.2), "execute_rows, where there is time enough"
    for delay_s in (0.61, 0.05):
        pace.measured(delay_s)
    assert pace.ask_after_s(chunk, actions) == pytest.approx(0.8), "16 rows less 7 for the delay and 1 for the join"
    pace.measured(5.0)
    assert pace.ask_after_s(chunk, actions) == pytest.approx(0.1), "at once"
    for _ in range(8):
        pace.measured(0.05)
    assert pace.ask_after_s(chunk, actions) == pytest.approx(1.2), "what is long ago does not count"


def test_so_many_rows_are_sent_as_run_while_the_policy_thinks() -> None:
    spec = policy(True)
    binding, rows = bind(spec, SPEC), np.tile(np.array([*HOME_RAD, 0.0], np.float32), (16, 1))
    assert len(binding.chunk(rows).rows) == 4 + 12
    slower = binding.with_chunks(ChunkSettings.given("join", 2, 0.25))
    assert (len(slower.chunk(rows).rows), slower.chunk(rows).joins) == (5, True)
    at_rest = binding.with_chunks(ChunkSettings.given("rest", 0, 0.0))
    assert (len(at_rest.chunk(rows).rows), at_rest.chunk(rows).joins) == (4, False)
    with pytest.raises(SpecError, match="'jump'"):
        ChunkSettings.given("jump", 0, 0.0)
    assert PolicySpec.from_json(spec.to_json()) == spec


def test_the_end_of_a_motion_does_not_hide_the_answer_to_a_request() -> None:
    arm = PlannedArm()
    with ExecutedRobot(arm, OPTIONS, timeout_s=4.0) as robot:
        report = robot.executor._on_result

        def late(result: CommandResult) -> None:
            report(result)
            report(replace(result, stamp_ns=result.stamp_ns - 1))  # such as that of a motion that ends just then

        robot.executor._on_result = late
        robot.observe()
        rows = tuple(tuple(arm.at.tolist()) for _ in range(LONG))
        assert robot.execute(Chunk(NAMES, rows, PERIOD_S, joins=True)).executed
