"""The runner tells a policy which rows of the running chunk are frozen, and the next chunk begins where the arm is."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("pinocchio", reason="the extra `arm` is not installed")
pytest.importorskip("fastapi", reason="the extra `server` is not installed")

from planned_arm import SPEC, PlannedArm
from prefix_bundles import PERIOD_S, ROWS, SPEC_OF_POLICY, write_prefix_bundle
from servers import serving

from evaluation.late_policy import LateSession
from evaluation.pace import Playing
from evaluation.plans.latency import LatencySettings
from evaluation.runner import Runner
from policy_server.decision import Decision
from policy_server.policies import open_policy
from policy_server.policy import PolicySession
from robots.arms.join import rounding_s
from robots.binding import Binding, bind
from robots.command import Chunk
from robots.execution.executed_robot import ExecutedRobot
from robots.execution.executor import ExecutorOptions
from robots.observation import Observation

OPTIONS = ExecutorOptions(control_period_s=4.0, observe_period_s=0.05, silence_periods=0.5, frozen_periods=0.25)
THINKS_S = 0.25


@dataclass
class Thinking(PolicySession):
    """A session that takes its time, and notes how far its chunks are off the arm when they are given."""

    inner: PolicySession
    arm: PlannedArm
    listens: bool
    frozen: list[int] = field(default_factory=list)
    gaps_rad: list[float] = field(default_factory=list)

    @property
    def binding(self) -> Binding:  # type: ignore[override]
        return self.inner.binding

    @property
    def takes_prefix(self) -> bool:
        return self.listens and self.inner.takes_prefix

    def freeze(self, rows: np.ndarray) -> None:
        self.frozen.append(len(rows))
        self.inner.freeze(rows)

    def act(self, observation: Observation, executed: str | None = None) -> Decision:
        decision = self.inner.act(observation, executed)
        time.sleep(THINKS_S)
        now_s, at = time.monotonic() - observation.stamp_ns / 1e9, self.arm.at[0]
        assert decision.chunk is not None
        if decision.step:
            due_s = PERIOD_S * np.arange(1, ROWS + 1) + rounding_s(PERIOD_S) / 2  # the arm rounds corners off
            self.gaps_rad.append(abs(float(np.interp(now_s, due_s, decision.chunk[:, 0])) - at))
        return decision


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made: Path = tmp_path_factory.mktemp("prefix")
    write_prefix_bundle(made)
    return made


@pytest.fixture(scope="module")
def url(folder: Path) -> Iterator[str]:
    with serving(folder) as address:
        yield address


def run(address: str, listens: bool) -> Thinking:
    arm = PlannedArm()
    with ExecutedRobot(arm, OPTIONS) as robot, open_policy(address) as policy, policy.open(SPEC, "") as inner:
        session = Thinking(inner, arm, listens)
        end = Runner(robot, session, max_steps=4).run()
        assert (end.reason, end.late) == ("max_steps", 0)
    return session


def test_the_next_chunk_begins_where_the_present_one_will_be(folder: Path, url: str) -> None:
    here, there, deaf = run(str(folder), True), run(url, True), run(str(folder), False)
    for session in (here, there):
        assert len(session.frozen) == 3, "not at the start of the episode"
        assert min(session.frozen) >= THINKS_S / PERIOD_S
        assert max(session.gaps_rad) < 0.02
    assert max(deaf.gaps_rad) > 0.05
    assert deaf.frozen == []


def test_frozen_rows_are_those_that_the_robot_plays_until_the_join() -> None:
    playing = Playing()
    rows = tuple((float(number),) for number in range(10))
    chunk = Chunk(("a",), rows, 0.1, True)
    assert len(playing.prefix(10**9, 0.3)) == 0
    playing.plays(chunk, 10**9, 1_200_000_000, 0.05)
    counted = playing.prefix(1_600_000_000, 0.25)
    assert counted[:, 0] == pytest.approx([4.0, 5.0, 6.0]), "the first chunk counts from when it began"
    assert len(playing.prefix(1_600_000_000, 0.0)) == 0
    playing.plays(chunk, 1_600_000_000, 1_900_000_000, 0.05)
    assert playing.prefix(1_950_000_000, 0.2)[:, 0] == pytest.approx([3.5, 4.5]), "the next ones from what was seen"
    assert playing.prefix(2_400_000_000, 0.5)[:, 0] == pytest.approx([8.0, 9.0]), "it ends before"
    assert len(playing.prefix(3_000_000_000, 0.5)) == 0, "it is over"
    playing.plays(chunk, 3_000_000_000, 4_000_000_000, 1.0)
    assert len(playing.prefix(4_000_000_000, 0.5)) == 0, "this robot joins nothing and stands"


@dataclass
class PrefixedSession(PolicySession):
    """A session whose chunk k has the rows 0.01 k, and which notes what is frozen."""

    binding: Binding
    frozen: list[list[float]] = field(default_factory=list)
    count: int = 0

    @property
    def takes_prefix(self) -> bool:
        return True

    def freeze(self, rows: np.ndarray) -> None:
        self.frozen.append([round(float(row[0]), 3) for row in rows])

    def act(self, observation: Observation, executed: str | None = None) -> Decision:
        rows = np.zeros((ROWS, 7), np.float32)
        rows[:, 0] = 0.1 * self.count + 0.001 * np.arange(ROWS)
        self.count += 1
        return Decision(observation.stamp_ns, self.count - 1, chunk=rows, valid_for_s=0.5)


def test_in_simulated_time_the_rows_left_of_the_chunk_before_are_frozen_for_the_charged_delay() -> None:
    session = PrefixedSession(bind(SPEC_OF_POLICY, SPEC))
    late = LateSession(session, object(), LatencySettings(0.25), seed=0)
    for number in range(3):
        late.act(Observation(1 + number, {}))
    assert session.frozen == [[0.004, 0.005, 0.006], [0.104, 0.105, 0.106]]
