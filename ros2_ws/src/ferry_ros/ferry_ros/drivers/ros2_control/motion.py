"""One motion of an arm and its gripper at a time: sent as trajectories, awaited by measured joints, ended by a ramp."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from ferry_ros.drivers.ros2_control.link import ArmLink
from robots.arms.planner import ArmPlanner, Plan
from robots.arms.running_plan import RunningPlan
from robots.arms.tracking import ASLEEP_S
from robots.arms.trajectory import F64, Trajectory, halt
from robots.command import Chunk
from robots.limits import GRIPPER_JOINT
from robots.robot import Sent

CALM = 3
"""So many joint states in a row must show the arm at rest after a ramp; one may be an old one."""

MAX_FEEDBACK_AGE_S = 0.1
"""Older joint states do not give the position of a moving arm."""

OFF_RAD = 0.03
"""An arm that is further off its trajectory does not follow it."""


@dataclass(frozen=True)
class ArmTuning:
    """Tolerances and time limits of motions. Choices of this project, tried on the fake.

    Attributes:
        near_rad: the arm is at its target this near; ur_robot_driver's goal tolerance is 0.1.
        near_m: tolerance of the gripper at its target.
        still_radps: an arm slower than this is at rest.
        stall_s: an arm that does not move for so long during a motion does not follow.
        stall_rad: smallest change that counts as moving.
        grip_s: a gripper that does not move for so long has closed on an object.
        late: a motion may take this many times its duration, plus `margin_s`.
        margin_s: time by which every motion may be longer.
        rest_s: time limit of the arm to be at rest after its ramp; then the ramp is sent again.
        window_s: the controller has so much of a long trajectory at a time; if this process dies, the arm slows down to
            rest at its end.
        renew_s: period of the parts of a trajectory.
        lead_s: time of a late arm to catch up with a part.
    """

    near_rad: float = 0.01
    near_m: float = 0.003
    still_radps: float = 0.02
    stall_s: float = 0.7
    stall_rad: float = 0.002
    grip_s: float = 0.4
    late: float = 2.0
    margin_s: float = 1.5
    rest_s: float = 0.5
    window_s: float = 0.8
    renew_s: float = 0.4
    lead_s: float = 0.3


@dataclass
class _Watch:
    """Measures for how long a value has not changed by more than `threshold`.

    A gap in the measurements longer than `gap_s` restarts the time: the value may have changed in between.
    """

    threshold: float
    value: F64
    since_s: float
    gap_s: float = math.inf
    seen_s: float = math.inf

    def still_s(self, value: F64, now_s: float) -> float:
        if np.abs(value - self.value).max() > self.threshold or now_s - self.seen_s > self.gap_s:
            self.value, self.since_s = value, now_s
        self.seen_s = now_s
        return now_s - self.since_s


class ArmMotion:
    """Motions of the arm late `link`.

    Args:
        planner: of the plans.
        decel_radps2: deceleration of the joints.
        fault: returns why nothing may move now, or "".
    """

    def __init__(
        self,
        link: ArmLink,
        planner: ArmPlanner,
        decel_radps2: float,
        fault: Callable[[], str],
        tuning: ArmTuning,
    ) -> None:
        self._link, self._planner, self._decel, self._fault, self._tuning = link, planner, decel_radps2, fault, tuning
        self._stopping = threading.Event()
        self._running = RunningPlan(changed=self._renew_now)
        self._renew_at_s = 0.0
        self._halted_s = math.inf  # time in its plan at which the motion was ended
        self._checked_s, self._slept = 0.0, False  # the last part ended at rest while this process did not run
        self._held_m = math.inf  # aperture at which the gripper last closed on an object

    def begin(self) -> None:
        """Permits the motion that `run` is about to begin; a later `stop` ends it."""
        self._stopping.clear()

    def stop(self) -> None:
        """Ends a running motion; idempotent, from any thread."""
        with self._running.lock:
            first = not self._stopping.is_set()
            self._stopping.set()
            self._running.close()
            if first and self._running.active:
                self._halt()

    @property
    def following(self) -> bool:
        """Whether it plays a chunk that another may be joined on to."""
        return self._running.open

    def join(self, chunk: Chunk, sensed_ns: int) -> Sent:
        """Joins `chunk`, decided from what was sensed then, on to the one that `run` plays."""
        return self._running.join(self._planner, chunk, sensed_ns / 1e9)

    def run(self, plan: Plan, joins: bool = False) -> str:
        """Executes `plan`, and what is joined on to it; returns, once the joints are at rest, why they are not at its
        end, or "".
        """
        with self._running.lock:
            if self._stopping.is_set():
                return "stopped"
            self._running.begin(plan, joins)
            self._halted_s, self._checked_s, self._slept = math.inf, self._running.began_s, False
            self._send(plan, 0.0)
        try:
            reason = self._await()
            return reason and self._end(reason)
        finally:
            self._running.end()

    def _renew_now(self, plan: Plan) -> None:
        """Lets the next check send the plan that was changed; until then the controller has a part of the old one."""
        self._renew_at_s = 0.0

    def _send(self, plan: Plan, begin_s: float) -> None:
        """Sends the part of the plan from `begin_s` on."""
        tuning = self._tuning
        self._renew_at_s = begin_s + tuning.renew_s
        if plan.arm and begin_s < plan.arm.duration_s:
            self._send_arm(self._planner.part(plan.arm, begin_s, tuning.window_s, tuning.lead_s, self._decel))
        if plan.gripper and self._link.gripper and begin_s < plan.gripper.duration_s and not self._overslept:
            self._link.gripper.send(plan.gripper, begin_s, tuning.window_s, tuning.lead_s)

    def _send_arm(self, trajectory: Trajectory) -> None:
        """Sends it, unless this process was suspended while it was computed: the arm is elsewhere by now."""
        if not self._overslept:
            self._link.send_arm(trajectory)

    @property
    def _overslept(self) -> bool:
        """True when this process did not run since the last check, which the next one reports."""
        return time.monotonic() - self._checked_s > ASLEEP_S

    def _renew(self) -> None:
        """Sends the next part of a long trajectory, from the point reached: the vendor may slow the arm down."""
        plan, began_s = self._running.state()
        elapsed_s = time.monotonic() - began_s
        if elapsed_s < self._renew_at_s or elapsed_s >= plan.duration_s:
            return
        reached_s = elapsed_s
        if plan.arm and elapsed_s < plan.arm.duration_s:
            reached_s = plan.arm.progress(self._arm(), elapsed_s, self._tuning.window_s)
        with self._running.lock:
            if self._stopping.is_set() or self._running.plan is not plan:
                return
            self._running.began_s += elapsed_s - reached_s
            self._send(plan, reached_s)

    def _await(self) -> str:
        """Waits for the end of the motion; returns why it must end earlier, or ""."""
        reason = self._await_arm() if self._running.plan.arm else ""
        gripper = self._running.plan.gripper
        return reason or (self._await_gripper(gripper) if gripper else "")

    def _await_arm(self) -> str:
        tuning, before = self._tuning, self._running.plan
        start, started_s = self._arm(), self._running.began_s
        watch = _Watch(tuning.stall_rad, start, started_s)
        while True:
            current, now = self._arm(), time.monotonic()
            plan, _ = self._running.state()
            started_s, before = started_s if plan is before else now, plan  # what was joined on takes its own time
            trajectory, elapsed = plan.arm, self._running.elapsed_s()
            assert trajectory is not None  # what is joined on moves the arm too
            target = trajectory.positions[-1]
            if reason := self._interruption():
                return reason
            self._renew()
            near = bool(np.abs(current - target).max() <= tuning.near_rad)
            if near and elapsed >= trajectory.duration_s and self._at_rest():
                return ""
            late = np.abs(trajectory.sample(elapsed)[0] - current).max() > tuning.near_rad
            still_s = watch.still_s(current, now)
            if not late:
                watch.since_s = now
            elif still_s > tuning.stall_s:
                return self._stalled(start, current, target)
            if now - started_s > tuning.late * trajectory.duration_s + tuning.margin_s:
                return f"time limit: the arm is {np.abs(current - target).max():.3f} rad from its target"
            self._link.feedback.wait(self._link.feedback.stamp_ns, 0.02)

    def _stalled(self, start: F64, current: F64, target: F64) -> str:
        left = f"{np.abs(current - target).max():.3f} rad from its target"
        if np.abs(current - start).max() < self._tuning.near_rad:
            return f"not followed: the arm did not move and is {left}; is its controller active, its e-stop released?"
        return f"contact: the arm is at rest {left} although it is driven"

    def _await_gripper(self, trajectory: Trajectory) -> str:
        """Waits for the gripper; one that closed on an object ends short of its target, which is no failure."""
        tuning, target, start = self._tuning, float(trajectory.positions[-1, 0]), float(trajectory.positions[0, 0])
        started_s = time.monotonic()
        watch = _Watch(tuning.near_m / 4, np.array([self._aperture()]), started_s, tuning.grip_s / 2)
        while True:
            current, now = self._aperture(), time.monotonic()
            elapsed = now - self._running.began_s
            if reason := self._interruption():
                return reason
            self._renew()
            still_s = watch.still_s(np.array([current]), self._link.feedback.stamp_ns / 1e9)
            if elapsed >= trajectory.duration_s and abs(current - target) <= tuning.near_m and still_s > 0.05:
                return ""
            if elapsed >= trajectory.duration_s and still_s > tuning.grip_s:
                return self._gripped(start, current, target)
            if now - started_s > tuning.late * trajectory.duration_s + tuning.margin_s:
                return f"time limit: the gripper is at {current:.4f} m of {target:.4f} m"
            self._link.feedback.wait(self._link.feedback.stamp_ns, 0.02)

    def _gripped(self, start: float, current: float, target: float) -> str:
        """Failure of a gripper at rest short of its target; "" when it has closed on an object."""
        near = self._tuning.near_m
        if abs(current - start) <= near and abs(current - self._held_m) > near:
            return f"not followed: the gripper did not move from {current:.4f} m; is its controller active?"
        if target > start:
            return f"contact: the gripper is at rest at {current:.4f} m of {target:.4f} m"
        self._held_m = current
        return ""

    def _interruption(self) -> str:
        asleep = self._sleep_s()
        if asleep > ASLEEP_S:
            return f"asleep: this process did not run for {asleep:.2f} s"
        return "stopped" if self._stopping.is_set() else self._fault()

    def _sleep_s(self) -> float:
        """Time since the last check [s]; after a window of it the controller has brought the arm to rest by itself."""
        now = time.monotonic()
        asleep, self._checked_s = now - self._checked_s, now
        self._slept = self._slept or asleep > self._tuning.window_s
        return asleep

    def _end(self, reason: str) -> str:
        """Slows the arm down, repeatedly until it is at rest; returns the reason, and whether it is not at rest."""
        self.stop()
        for _ in range(3):
            until = time.monotonic() + self._ramp_s(self._link.arm_speeds()) + self._tuning.rest_s
            calm = 0
            while time.monotonic() < until:
                self._sleep_s()
                fresh = self._link.feedback.wait(self._link.feedback.stamp_ns, 0.02)
                if fresh:
                    calm = calm + 1 if self._at_rest() else 0
                if calm == CALM:
                    return reason
            if self._fault():
                return reason  # without feedback rest cannot be measured
            with self._running.lock:
                self._halt()
        return f"{reason}; the arm does not come to rest"

    def _halt(self) -> None:
        """Sends a ramp to rest along the plan from the measured position, or from the commanded one without plausible
        feedback; the lock is held.
        """
        self._sleep_s()
        if self._slept:
            return
        plan, began_s = self._running.state()
        elapsed, again = time.monotonic() - began_s, self._halted_s < math.inf
        self._halted_s = elapsed = min(elapsed, self._halted_s)
        feedback = self._link.feedback
        if plan.arm:
            current, speed, at_s = *plan.arm.sample(elapsed), elapsed
            if feedback.age_s <= MAX_FEEDBACK_AGE_S and not feedback.fault:
                current, speed = self._arm(), np.array(self._link.arm_speeds())
                further_s = self._ramp_s(plan.arm.peaks()) if again else 0.0
                at_s = plan.arm.progress(current, elapsed + further_s, further_s + self._tuning.window_s)
            elif again:
                return  # already sent, and there is no new feedback
            decels = [self._decel] * len(current)
            if np.abs(plan.arm.at(at_s) - current).max() > OFF_RAD:  # pushed away: do not pull it back
                self._send_arm(halt(current, speed, decels))
            else:
                self._send_arm(plan.arm.stop(current, speed, at_s, decels))
        if plan.gripper and self._link.gripper:
            self._link.gripper.hold(float(plan.gripper.at(elapsed)[0]))

    def _ramp_s(self, speeds: Iterable[float]) -> float:
        return max(abs(speed) for speed in speeds) / self._decel

    def _at_rest(self) -> bool:
        return max(abs(speed) for speed in self._link.arm_speeds()) <= self._tuning.still_radps

    def _arm(self) -> F64:
        positions = self._link.positions()
        return np.array([value for name, value in positions.items() if name != GRIPPER_JOINT])

    def _aperture(self) -> float:
        return self._link.positions()[GRIPPER_JOINT]
