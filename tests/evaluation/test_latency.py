"""Latency in simulated time: seeded, held to the deadline, played through or paused, and drawn in the report."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
from episodes import POLICIES as IDENTITIES
from episodes import episode_of, plan_of
from scripted import ScriptedSession, fast_fake

from evaluation.errors import PlanError
from evaluation.evaluate import Evaluate, _overridden
from evaluation.late_policy import LateSession
from evaluation.plans.latency import LatencySettings
from evaluation.plans.plan import read_plan
from evaluation.plans.trial import Outcome
from evaluation.records.run_folder import RunFolder
from evaluation.reporting.delay import delay_curves
from evaluation.reporting.report import write_report
from evaluation.reporting.results import results_of
from evaluation.runner import Runner
from policy_server.decision import Decision
from policy_server.policy import PolicySession
from robots.binding import Binding, ChunkSettings
from robots.observation import Observation
from robots.spec import EMPTY_VECTOR, ContinuousActions, PolicySpec, VectorSpec

SHARE = VectorSpec(("a",), ("m",), (0.0,), (1000.0,))


@dataclass
class Rows(PolicySession):
    """A session whose chunk k has the rows 100 k, 100 k + 1, ..."""

    binding: Binding
    count: int = 0

    def act(self, observation: Observation, executed: str | None = None) -> Decision:
        rows = 100.0 * self.count + np.arange(8.0)[:, None]
        self.count += 1
        return Decision(observation.stamp_ns, self.count - 1, chunk=rows.astype(np.float32), valid_for_s=0.5)


@dataclass
class Standing:
    """A robot that notes how long it was at rest."""

    passed_s: list[float] = field(default_factory=list)

    def let_pass(self, duration_s: float) -> None:
        self.passed_s.append(round(duration_s, 6))


def chunk_binding(joins: bool) -> Binding:
    spec = PolicySpec((), EMPTY_VECTOR, ContinuousActions(SHARE, 8, 0.1, 4, joins), 100, 0.5)
    return Binding(spec, None, {}, (), ())  # type: ignore[arg-type]


def played(joins: bool, delay_s: float, decisions: int = 3) -> tuple[list[float], list[float]]:
    """The rows that are executed, 4 of each chunk, and the pauses."""
    robot, seen = Standing(), Observation(1, {})
    late = LateSession(Rows(chunk_binding(joins)), robot, LatencySettings(delay_s), seed=0)
    assert isinstance(late.binding.policy.actions, ContinuousActions)
    assert not late.binding.policy.actions.joins, "it joins the rows itself"
    chunks = [late.act(seen).chunk for _ in range(decisions)]
    return [float(row[0]) for chunk in chunks for row in chunk[:4]], robot.passed_s  # type: ignore[index]


def test_without_joining_the_robot_waits_for_the_delay() -> None:
    assert played(False, 0.25) == ([0, 1, 2, 3, 100, 101, 102, 103, 200, 201, 202, 203], [0.25] * 3)


def test_with_joining_the_rest_of_the_chunk_before_runs_on_and_what_is_over_is_dropped() -> None:
    assert played(True, 0.15) == ([0, 1, 2, 3, 4, 5, 102, 103, 104, 105, 202, 203], [0.15])


def test_where_the_chunk_before_is_too_short_the_robot_waits_for_the_rest() -> None:
    rows, pauses = played(True, 0.6, decisions=2)
    assert rows == [0, 1, 2, 3, 4, 5, 6, 7]
    assert pauses == [0.6, 0.2]


def test_delays_are_those_of_the_seed_and_never_negative() -> None:
    settings = LatencySettings(0.05, 0.05)
    first, again, other = (settings.draws(seed) for seed in (3, 3, 4))
    drawn = [first() for _ in range(200)]
    assert drawn == [again() for _ in range(200)]
    assert drawn != [other() for _ in range(200)]
    assert min(drawn) == 0.0
    assert np.mean(drawn) == pytest.approx(0.055, abs=0.01)


def end_with(settings: LatencySettings) -> tuple[str, int]:
    """How a run of six decisions ends, and how many of them were late."""
    session = ScriptedSession(("move_ahead",) * 5 + ("done",), valid_for_s=0.5)
    with fast_fake() as robot:
        late = LateSession(session, robot, settings, seed=0)
        end = Runner(robot, late, max_steps=20).run()
    return end.reason, end.late


def test_a_decision_is_late_by_the_charged_time_alone() -> None:
    assert end_with(LatencySettings(0.4)) == ("done", 0)
    assert end_with(LatencySettings(0.6)) == ("late", 3)
    assert end_with(LatencySettings(0.6, deadline_s=1.0)) == ("done", 0)


def plan_file(folder: Path, more: str) -> Path:
    file = folder / "plan.yaml"
    text = "name: home\nhouses: {count: 2}\nmax_steps: 50\npolicies: [{name: mini, bundle: b}]\n"
    file.write_text(text + more)
    return file


def test_a_plan_has_latency_and_chunks_and_its_hash_is_as_before_without(tmp_path: Path) -> None:
    plain = read_plan(plan_file(tmp_path, ""))
    assert plain.latency == LatencySettings()
    late = read_plan(plan_file(tmp_path, "latency: {delay_s: 0.1, jitter_s: 0.02}\nchunks: {joins: true}\n"))
    assert (late.latency.delay_s, late.chunks) == (0.1, ChunkSettings(joins=True))
    assert len({plain.sha256, late.sha256, replace(late, latency=LatencySettings()).sha256}) == 3
    for wrong in ("latency: {delay_s: -1.0}\n", "robot: fake\nlatency: {delay_s: 0.1}\n"):
        with pytest.raises(PlanError, match="latency"):
            read_plan(plan_file(tmp_path, wrong))


def test_the_command_line_charges_latency_and_the_name_tells(tmp_path: Path) -> None:
    plan = read_plan(plan_file(tmp_path, "latency: {jitter_s: 0.02}\n"))
    options = Evaluate(tmp_path / "plan.yaml", tmp_path, delay_s=0.13)
    over = _overridden(plan, options)
    assert over.latency == LatencySettings(0.13, 0.02)
    assert over.name == "home, 130 ms +- 20 ms of latency"
    with pytest.raises(PlanError, match="latency"):
        _overridden(plan, replace(options, robot="ros"))


def folder_with(path: Path, delay_s: float, successes: Sequence[bool]) -> RunFolder:
    plan = plan_of(f"home at {delay_s}", len(successes))
    plan = replace(plan, policies=plan.policies[:1], latency=LatencySettings(delay_s))
    folder = RunFolder.open(path / f"{delay_s}", plan, IDENTITIES[:1])
    for trial, success in zip(plan.trials(), successes):
        episode_of(trial, Outcome.SUCCESS if success else Outcome.FAILURE).write(folder.trial(trial))
    return folder


@pytest.mark.parametrize(("at_200_ms", "at_400_ms", "tolerated_s"), [(47, 20, 0.2), (48, 48, 0.4), (20, 48, 0.0)])
def test_a_delay_is_tolerated_where_success_is_shown_not_to_fall(
    tmp_path: Path, at_200_ms: int, at_400_ms: int, tolerated_s: float
) -> None:
    counts = {0.0: 48, 0.2: at_200_ms, 0.4: at_400_ms}
    folders = [folder_with(tmp_path, delay, [index < count for index in range(60)]) for delay, count in counts.items()]
    (curve,) = delay_curves(results_of(folders))
    assert [point.latency.delay_s for point in curve.points] == [0.0, 0.2, 0.4]
    assert curve.tolerated_s == tolerated_s
    expected = f"tolerates {1000 * tolerated_s:.0f} ms" if tolerated_s else "no delay is shown to be tolerated"
    assert expected in curve.sentence()


def test_few_trials_show_nothing_and_one_latency_draws_nothing(tmp_path: Path) -> None:
    few = [folder_with(tmp_path / "few", delay, [True] * 4) for delay in (0.0, 0.1)]
    (curve,) = delay_curves(results_of(few))
    assert "no delay is shown to be tolerated with 4 trials at each" in curve.sentence()
    assert delay_curves(results_of(few[:1])) == ()
    write_report(few, tmp_path / "report")
    for file in ("report.html", "report.md"):
        assert curve.sentence() in (tmp_path / "report" / file).read_text()
    assert '<svg class="delay"' in (tmp_path / "report" / "report.html").read_text()
    data = json.loads((tmp_path / "report" / "report.json").read_text())
    assert [point["latency"]["delay_s"] for point in data["delay"][0]["points"]] == [0.0, 0.1]
