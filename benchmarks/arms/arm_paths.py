"""Random targets and chunks for each arm: how many are accepted, and how deep any of these leads below the floor.

    python -m benchmarks.arms.arm_paths --count 2000

Each begins at random joints with the fingertips in the workspace. What is accepted is followed as it is sent: in parts
that are renewed (arms behind ros2_control, which lag), or streamed (Piper); and it is stopped at a random time.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import tyro

from robots.arms.kinematics import Kinematics
from robots.arms.planner import ArmPlanner, Refused, outside
from robots.arms.trajectory import F64, Trajectory
from robots.command import Chunk, Command, JointTarget, MoveJoint
from robots.embodiments import piper, ros2_control_arms
from robots.embodiments.piper_urdf import ARM, TIP
from robots.limits import GRIPPER_JOINT, limit

ARMS = ("ur5e", "fr3", "xarm6", "piper")
WINDOW_S, RENEW_S, LEAD_S = 0.8, 0.4, 0.3  # ferry_ros.drivers.ros2_control.motion.ArmTuning
ENDS = ("low", "high", "max_speed")
LAG_S = 0.05
"""So far the joints are behind their controller."""

LOOK_S = 0.01
"""The followed way is looked at this often."""


@dataclass(frozen=True)
class Sweep:
    """What became of the targets of one arm.

    Attributes:
        refused: those that the planner or the limits refused.
        deepest_m: how far the fingertips came below the floor at most.
        furthest_m: how far they came out of the workspace at most.
        fastest: the highest speed in anything sent, as a share of the joint's top speed.
        beyond_range: how far a joint went beyond its range at most [rad].
    """

    name: str
    accepted: int = 0
    refused: int = 0
    deepest_m: float = 0.0
    furthest_m: float = 0.0
    fastest: float = 0.0
    beyond_range: float = 0.0
    plan_ms: float = 0.0

    def line(self) -> str:
        """For a table."""
        share = self.refused / max(1, self.accepted + self.refused)
        return (
            f"{self.name:6} {self.accepted:5} accepted {self.refused:5} refused ({100 * share:.1f} %)"
            f"  deepest below the floor {1e3 * self.deepest_m:.1f} mm"
            f"  out of the workspace {1e3 * self.furthest_m:.1f} mm"
            f"  fastest {100 * self.fastest:.1f} %  beyond range {self.beyond_range:.3f} rad"
            f"  planned in {self.plan_ms:.1f} ms"
        )


def planner(name: str) -> ArmPlanner:
    """That of an arm with its usual gripper, above the floor that it stands on."""
    if name == "piper":
        kinematics = Kinematics(piper.PIPER_URDF, ARM, TIP)
        return ArmPlanner(piper.PIPER, ARM, kinematics, piper.ACCELERATION_RADPS2)
    preset = ros2_control_arms.arm(name)
    kinematics = Kinematics(preset.urdf(True), tuple(preset.joints), "tip")
    body = preset.embodiment((), gripper=True, cartesian=True, floor_m=0.0)
    return ArmPlanner(body, kinematics.joints, kinematics, preset.decel_radps2)


def sweep(name: str, count: int, seed: int) -> Sweep:
    """Draws `count` commands and follows those that are accepted."""
    arm, rng, found = planner(name), np.random.default_rng(seed), Sweep(name)
    took_s = 0.0
    for number in range(count):
        here = dict(zip(arm.joints, draw_target(arm, rng))) | {GRIPPER_JOINT: 0.02}
        sent = limit(draw(arm, rng, here, number), arm.body, here)
        began = time.perf_counter()
        try:
            plan = None if sent.refused else arm.plan(sent.command, here)
        except Refused:
            plan = None
        took_s += time.perf_counter() - began
        if plan is None or plan.arm is None:
            found = replace(found, refused=found.refused + 1)
            continue
        found = replace(found, accepted=found.accepted + 1)
        for way, followed in (streamed if name == "piper" else renewed)(arm, plan.arm, rng):
            found = measured(found, arm, way, followed)
    return replace(found, plan_ms=1e3 * took_s / count)


def draw_target(arm: ArmPlanner, rng: np.random.Generator) -> F64:
    """Joints within their ranges with the fingertips in the workspace, (k,)."""
    limits, box = [arm.body.joints[name] for name in arm.joints], arm.body.workspace
    assert box is not None  # every arm here has one
    while True:
        q = np.array([rng.uniform(one.low, one.high) for one in limits])
        if outside(arm.tip(q), box) == 0.0:
            return q


def draw(arm: ArmPlanner, rng: np.random.Generator, here: dict[str, float], number: int) -> Command:
    """One of three kinds in turn: a target whose end is in the workspace, one joint's move, a chunk of rows."""
    if number % 3 == 0:
        return JointTarget(arm.joints, tuple(draw_target(arm, rng).tolist()))
    if number % 3 == 1:
        return MoveJoint(str(rng.choice(arm.joints)), float(rng.uniform(-2.0, 2.0)))
    period_s, names = float(rng.uniform(0.05, 0.3)), arm.body.chunks[0].names
    drift = {name: rng.uniform(-1.0, 1.0) * arm.body.joints[name].max_speed * period_s for name in names}
    row, rows = dict(here), []
    for _ in range(int(rng.integers(3, 25))):
        shake = {name: rng.uniform(-0.3, 0.3) * abs(drift[name]) for name in names}
        row = {name: clip(arm, name, row[name] + 0.7 * drift[name] + shake[name]) for name in names}
        rows.append(tuple(row[name] for name in names))
    return Chunk(names, tuple(rows), period_s)


def clip(arm: ArmPlanner, name: str, value: float) -> float:
    """Within the joint's range."""
    one = arm.body.joints[name]
    return float(min(max(value, one.low), one.high))


def streamed(arm: ArmPlanner, way: Trajectory, rng: np.random.Generator) -> Iterator[tuple[Trajectory, Trajectory]]:
    """What is sent and what a servo that follows it does: the same."""
    yield way, way


def renewed(arm: ArmPlanner, way: Trajectory, rng: np.random.Generator) -> Iterator[tuple[Trajectory, Trajectory]]:
    """What is sent and what a JointTrajectoryController does with it, part after part, and after a stop."""
    decel, begin_s, state = arm.acceleration, 0.0, way.sample(0.0)
    stop_s, limits = rng.uniform(0.0, way.duration_s), [arm.body.joints[name] for name in arm.joints]
    while begin_s < way.duration_s:
        part = arm.part(way, begin_s, WINDOW_S, LEAD_S, decel)
        followed = replaced(part, state)
        last = begin_s + RENEW_S >= way.duration_s
        yield part, until(followed, followed.duration_s if last else RENEW_S)
        if begin_s <= stop_s < begin_s + RENEW_S:
            here, speed = followed.sample(stop_s - begin_s)
            stop = way.stop(here, speed, way.progress(here, stop_s, WINDOW_S), [decel] * len(here))
            stop = stop.clipped(*(np.array([getattr(one, end) for one in limits]) for end in ENDS))
            yield stop, replaced(stop, (here, speed))
        state = followed.sample(RENEW_S)
        begin_s = way.progress(followed.at(RENEW_S - LAG_S), begin_s + RENEW_S, WINDOW_S)
        if last:
            return


def replaced(part: Trajectory, state: tuple[F64, F64]) -> Trajectory:
    """`part` followed from where the controller is: cubics from its own state to the points."""
    return Trajectory(
        part.times_s, np.vstack([state[0], part.positions[1:]]), np.vstack([state[1], part.velocities[1:]])
    )


def until(way: Trajectory, end_s: float) -> Trajectory:
    """Its beginning."""
    if way.duration_s <= end_s:
        return way
    times = np.linspace(0.0, end_s, 40)
    return Trajectory(times, *way.samples(times))


def measured(found: Sweep, arm: ArmPlanner, sent: Trajectory, followed: Trajectory) -> Sweep:
    """`found` with what this motion adds."""
    limits, box = [arm.body.joints[name] for name in arm.joints], arm.body.workspace
    assert box is not None  # every arm here has one
    rows, _ = followed.samples(np.linspace(0.0, followed.duration_s, 2 + int(followed.duration_s / LOOK_S)))
    low, high, speeds = (np.array([getattr(one, end) for one in limits]) for end in ENDS)
    beyond = float(np.maximum(low - rows, rows - high).max())
    return replace(
        found,
        deepest_m=max(found.deepest_m, depth(arm, rows)),
        furthest_m=max(found.furthest_m, *(outside(arm.tip(row), box) for row in rows)),
        fastest=max(found.fastest, float((sent.peaks() / speeds).max())),
        beyond_range=max(found.beyond_range, beyond),
    )


def depth(arm: ArmPlanner, rows: F64) -> float:
    """How far below the floor the fingertips are at most for joints (m, k); 0 above it [m]."""
    assert arm.body.workspace is not None  # every arm here has one
    return max(0.0, *(arm.body.workspace.low[2] - float(arm.tip(row)[2]) for row in rows))


def main(count: int = 2000, seed: int = 0) -> None:
    """Prints one line for each arm."""
    for name in ARMS:
        print(sweep(name, count, seed).line(), flush=True)


if __name__ == "__main__":
    tyro.cli(main)
