"""Joins of trajectories and plans: nothing jumps, limits hold, and what does not fit is refused."""

from __future__ import annotations

import threading
import time
from dataclasses import replace

import numpy as np
import pytest

from robots.arms.action_chunks import POSE
from robots.arms.join import KEPT_S, Apart, follow_on, join
from robots.arms.kinematics import Kinematics
from robots.arms.planner import ArmPlanner, Plan, Refused
from robots.arms.running_plan import RunningPlan
from robots.arms.trajectory import Trajectory, through
from robots.command import Chunk
from robots.embodiments.piper import HOME_RAD, PIPER, PIPER_URDF
from robots.embodiments.piper_urdf import ARM, TIP
from robots.limits import GRIPPER_JOINT

PERIOD_S, SPEEDS = 0.1, [3.0, 3.0]


def ramp(*slopes: float, count: int = 12) -> np.typing.NDArray[np.float64]:
    return np.outer(np.arange(1, count + 1) * PERIOD_S, slopes)


def running() -> Trajectory:
    return through([0.0, 0.0], ramp(0.5, -0.3), PERIOD_S, SPEEDS)


def steps(path: Trajectory, dt: float = 0.001) -> tuple[float, float]:
    """Largest change of position and of velocity from one millisecond to the next."""
    times = np.arange(0.0, path.duration_s, dt)
    p, v = path.held(times)
    return float(np.abs(np.diff(p, axis=0)).max()), float(np.abs(np.diff(v, axis=0)).max())


@pytest.mark.parametrize("off", [0.0, 0.02, -0.08])
@pytest.mark.parametrize("delay_s", [0.02, 0.15, 0.4])
def test_nothing_jumps_and_the_next_chunk_is_reached(off: float, delay_s: float) -> None:
    one, sensed_s = running(), 0.5
    following = follow_on(one.at(sensed_s), one.sample(sensed_s)[1], ramp(0.2, -0.6) + one.at(sensed_s) + off, PERIOD_S)
    joined, begins_s = join(one, following, sensed_s, sensed_s + delay_s, SPEEDS, 5.0)
    way, change = steps(joined)
    assert way < 0.0031
    assert change < 0.03
    assert joined.end.tolist() == pytest.approx(following.end.tolist())
    assert (joined.peaks() <= 3.0).all()
    before = np.linspace(begins_s, sensed_s + delay_s, 20)
    assert np.allclose(joined.held(before - begins_s)[0], one.held(before)[0], atol=1e-9), "until then nothing changes"
    late = np.linspace(1.5, 1.7, 5)
    assert np.allclose(joined.held(late - begins_s)[0], following.held(late - sensed_s)[0], atol=1e-9)


def test_what_is_long_over_is_forgotten() -> None:
    one = through([0.0, 0.0], ramp(0.5, 0.1, count=60), PERIOD_S, SPEEDS)
    following = follow_on(one.at(5.0), one.sample(5.0)[1], one.at(5.0) + ramp(0.5, 0.1), PERIOD_S)
    joined, begins_s = join(one, following, 5.0, 5.1, SPEEDS, 5.0)
    assert begins_s == pytest.approx(5.1 - KEPT_S)
    assert len(joined.times_s) < 60


def test_a_chunk_that_is_elsewhere_is_not_joined() -> None:
    one = running()
    far = follow_on(one.at(0.5), [0.0, 0.0], ramp(0.0, 0.0, count=3) + 1.5, PERIOD_S)
    with pytest.raises(Apart, match="the chunk begins"):
        join(one, far, 0.5, 0.6, SPEEDS, 5.0)
    over = follow_on(one.at(0.5), one.sample(0.5)[1], one.at(0.5) + ramp(0.5, -0.3, count=3), PERIOD_S)
    with pytest.raises(Apart, match=r"0\.0\d s before its own end"):
        join(one, over, 0.5, 0.84, SPEEDS, 5.0)


pinocchio = pytest.importorskip("pinocchio", reason="the extra `arm` is not installed")
KINEMATICS = Kinematics(PIPER_URDF, ARM, TIP)
PLANNER = ArmPlanner(PIPER, ARM, KINEMATICS, 5.0)
HERE = dict(zip(PIPER.joints, (*HOME_RAD, 0.02)))
UP = Chunk((*POSE, "gripper"), ((0.0, 0.0, 0.01, 0.0, 0.0, 0.0, 0.5),) * 10, PERIOD_S, joins=True)


def tip(plan: Plan, at_s: float) -> list[float]:
    assert plan.arm is not None
    return [float(one) for one in PLANNER.tip(plan.arm.at(at_s))]


def test_increments_count_from_where_the_observation_was_taken() -> None:
    plan = PLANNER.plan(UP, HERE)
    joined, begins_s = PLANNER.join(plan, UP, 0.4, 0.55)
    assert joined.arm is not None
    begun = tip(plan, 0.0)
    assert tip(joined, joined.duration_s)[2] - begun[2] == pytest.approx(0.14, abs=5e-4), "4 rows, then 10 more"
    heights = [tip(joined, at - begins_s)[2] for at in np.arange(0.2, 1.4, 0.05)]
    assert np.diff(heights) == pytest.approx(0.005, abs=4e-4), "it goes on at the same speed"
    assert joined.gripper is not None
    assert joined.gripper.at(0.5 - begins_s) == pytest.approx(plan.gripper.at(0.5))  # type: ignore[union-attr]


def test_joint_rows_are_absolute_and_due_after_the_observation() -> None:
    names = (*ARM, GRIPPER_JOINT)
    rows = tuple((HOME_RAD[0] + 0.05 * k, *HOME_RAD[1:], 0.02) for k in range(1, 11))
    chunk = Chunk(names, rows, PERIOD_S, joins=True)
    plan = PLANNER.plan(chunk, HERE)
    later = tuple((row[0] + 0.2, *row[1:-1], 0.06) for row in rows)
    joined, begins_s = PLANNER.join(plan, replace(chunk, rows=later), 0.4, 0.5)
    assert joined.arm is not None
    assert joined.arm.at(1.2 - begins_s)[0] == pytest.approx(0.55, abs=0.03), "its row 8, half a round late"
    assert joined.arm.end[0] == pytest.approx(0.7)
    assert joined.gripper is not None
    assert joined.gripper.end[0] == pytest.approx(0.06)


def test_the_whole_path_is_checked_before_a_motion() -> None:
    plan = PLANNER.plan(UP, HERE)
    down = replace(UP, rows=((0.0, 0.0, -0.05, 0.0, 0.0, 0.0, 0.5),) * 10)
    with pytest.raises(Refused, match="out of workspace"):
        PLANNER.join(plan, down, 0.4, 0.5)
    fast = replace(UP, rows=((0.05, 0.05, 0.05, 0.0, 0.0, 0.0, 0.5),) * 2, period_s=0.01)
    with pytest.raises(Refused, match="jump"):
        PLANNER.join(plan, fast, 0.4, 0.5)


def test_a_stop_while_a_join_is_planned_leaves_nothing_of_it() -> None:
    for end in (RunningPlan.close, RunningPlan.end):
        one = RunningPlan()
        one.begin(PLANNER.plan(UP, HERE), joins=True)
        old = one.plan
        with one.lock:  # planning goes on meanwhile; it cannot be taken
            joining, got = _joining(one)
            time.sleep(0.05)
            end(one)
        joining.join(5.0)
        assert got[0].refused.startswith("late: ")
        assert not one.open
        assert not one.active or one.plan is old


def test_a_join_planned_for_one_motion_is_not_taken_by_the_next() -> None:
    one = RunningPlan()
    one.begin(PLANNER.plan(UP, HERE), joins=True)
    slow = ArmPlanner(PIPER, ARM, KINEMATICS, 5.0)
    planned, go, plan_join = threading.Event(), threading.Event(), slow.join

    def waiting(*given: object) -> tuple[Plan, float]:
        planned.set()
        go.wait(5.0)
        return plan_join(*given)  # type: ignore[arg-type]

    slow.join = waiting  # type: ignore[method-assign]
    joining, got = _joining(one, slow)
    assert planned.wait(5.0)
    one.end()
    one.begin(second := PLANNER.plan(UP, HERE), joins=True)
    go.set()
    joining.join(5.0)
    assert got[0].refused.startswith("late: ")
    assert one.plan is second


def test_nothing_is_joined_at_the_end() -> None:
    now = [100.0]
    one = RunningPlan(lambda: now[0])
    one.begin(PLANNER.plan(UP, HERE), joins=True)
    now[0] += 0.5
    assert one.join(PLANNER, UP, 100.4).executed
    now[0] += 5.0
    assert one.join(PLANNER, UP, 105.4).refused.startswith("late: ")
    assert not one.open


def _joining(one: RunningPlan, planner: ArmPlanner = PLANNER) -> tuple[threading.Thread, list]:  # type: ignore[type-arg]
    got: list = []  # type: ignore[type-arg]
    sensed_s = time.monotonic()
    thread = threading.Thread(target=lambda: got.append(one.join(planner, UP, sensed_s)))
    thread.start()
    return thread, got
