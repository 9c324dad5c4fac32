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
from robots.arms.tracking import ASLEEP_S
from robots.arms.trajectory import F64, Trajectory, halt
from robots.limits import GRIPPER_JOINT

CALM = 3
"""So many joint states in a row must say that the arm stands after a ramp; one may be an old one."""

BELIEVED_S = 0.1
"""Where a moving arm is, is not known from joint states that are older."""

OFF_RAD = 0.03
"""An arm that is further off its way does not follow it."""


@dataclass(frozen=True)
class ArmTuning:
    """When a motion has ended. Choices of this project, tried on the fake.

    Attributes:
        near_rad: the arm is at its target this near; ur_robot_driver's goal tolerance is 0.1.
        near_m: the gripper is at its target this near.
        still_radps: an arm slower than this stands.
        stall_s: an arm that does not move for so long, while it should, does not follow.
        stall_rad: what counts as moving.
        grip_s: a gripper that does not move for so long has closed on something.
        late: a motion may take this many times its duration, and `margin_s`.
        margin_s: what every motion may take longer.
        stand_s: how long the arm may take to stand after its ramp; then the ramp is sent again.
        window_s: so much of a long way is in the controller's hands at once; if this process dies, the arm slows down
            to rest at its end.
        renew_s: so often the next part is sent.
        lead_s: an arm that is behind has so long to catch up with a part.
    """

    near_rad: float = 0.01
    near_m: float = 0.003
    still_radps: float = 0.02
    stall_s: float = 0.7
    stall_rad: float = 0.002
    grip_s: float = 0.4
    late: float = 2.0
    margin_s: float = 1.5
    stand_s: float = 0.5
    window_s: float = 0.8
    renew_s: float = 0.4
    lead_s: float = 0.3


@dataclass
class _Watch:
    """Since when something that is measured has not changed by more than `least`.

    A time without measurements that is longer than `gap_s` does not count: what stood then may have moved.
    """

    least: float
    value: F64
    since_s: float
    gap_s: float = math.inf
    seen_s: float = math.inf

    def still_s(self, value: F64, now_s: float) -> float:
        if np.abs(value - self.value).max() > self.least or now_s - self.seen_s > self.gap_s:
            self.value, self.since_s = value, now_s
        self.seen_s = now_s
        return now_s - self.since_s


class ArmMotion:
    """Moves what `link` leads to.

    Args:
        planner: that made the plans.
        decel_radps2: what the joints are slowed down with.
        fault: why nothing may move now; empty while it may.
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
        self._state = threading.Lock()
        self._plan: Plan | None = None
        self._began_s = self._renew_at_s = 0.0
        self._halted_s = math.inf  # how far into its plan the motion was ended
        self._looked_s, self._slept = 0.0, False  # whether what was sent ended at rest while nobody looked
        self._held_m = math.inf  # where the gripper closed on something last

    def begin(self) -> None:
        """From now on `stop` ends the motion that `run` is about to begin."""
        self._stopping.clear()

    def stop(self) -> None:
        """Ends a running motion; also called twice, and from any thread."""
        with self._state:
            first = not self._stopping.is_set()
            self._stopping.set()
            if first and self._plan is not None:
                self._halt(self._plan)

    def run(self, plan: Plan) -> str:
        """Returns when the joints stand at the end of `plan`, or why they do not once they stand."""
        with self._state:
            if self._stopping.is_set():
                return "stopped"
            self._plan, self._began_s, self._halted_s = plan, time.monotonic(), math.inf
            self._looked_s, self._slept = self._began_s, False
            self._send(plan, 0.0)
        try:
            reason = self._await(plan)
            return reason and self._end(plan, reason)
        finally:
            with self._state:
                self._plan = None

    def _send(self, plan: Plan, begin_s: float) -> None:
        """The part of the plan from `begin_s` on; what is over by then is not said again."""
        tuning = self._tuning
        self._renew_at_s = begin_s + tuning.renew_s
        if plan.arm and begin_s < plan.arm.duration_s:
            part = self._planner.part(plan.arm, begin_s, tuning.window_s, tuning.lead_s, self._decel)
            self._link.send_arm(part)
        if plan.gripper and self._link.gripper and begin_s < plan.gripper.duration_s:
            self._link.gripper.send(plan.gripper, begin_s, tuning.window_s, tuning.lead_s)

    def _renew(self, plan: Plan, elapsed_s: float) -> None:
        """Sends the next part of a long way, from where the arm has come to: it may be slowed down by its maker."""
        if elapsed_s < self._renew_at_s or elapsed_s >= plan.duration_s:
            return
        reached_s = elapsed_s
        if plan.arm and elapsed_s < plan.arm.duration_s:
            reached_s = plan.arm.progress(self._arm(), elapsed_s, self._tuning.window_s)
        with self._state:
            if self._stopping.is_set():
                return
            self._began_s += elapsed_s - reached_s
            self._send(plan, reached_s)

    def _await(self, plan: Plan) -> str:
        """Why the motion must end before its end; empty when it has ended."""
        return (self._await_arm(plan, plan.arm) if plan.arm else "") or (
            self._await_gripper(plan, plan.gripper) if plan.gripper else ""
        )

    def _await_arm(self, plan: Plan, way: Trajectory) -> str:
        tuning, target = self._tuning, way.positions[-1]
        start, started_s = self._arm(), self._began_s
        watch = _Watch(tuning.stall_rad, start, started_s)
        while True:
            here, now = self._arm(), time.monotonic()
            elapsed = now - self._began_s
            if reason := self._trouble():
                return reason
            self._renew(plan, elapsed)
            near = bool(np.abs(here - target).max() <= tuning.near_rad)
            if near and elapsed >= way.duration_s and self._stands():
                return ""
            behind = np.abs(way.sample(elapsed)[0] - here).max() > tuning.near_rad
            still_s = watch.still_s(here, now)
            if not behind:
                watch.since_s = now
            elif still_s > tuning.stall_s:
                return self._stalled(start, here, target)
            if now - started_s > tuning.late * way.duration_s + tuning.margin_s:
                return f"time limit: the arm is {np.abs(here - target).max():.3f} rad from its target"
            self._link.feedback.wait(self._link.feedback.stamp_ns, 0.02)

    def _stalled(self, start: F64, here: F64, target: F64) -> str:
        left = f"{np.abs(here - target).max():.3f} rad from its target"
        if np.abs(here - start).max() < self._tuning.near_rad:
            return f"not followed: the arm did not move and is {left}; is its controller active, its e-stop released?"
        return f"contact: the arm stands {left} although it is driven"

    def _await_gripper(self, plan: Plan, way: Trajectory) -> str:
        """A gripper that closes on something ends short of its target, and that is well."""
        tuning, target, start = self._tuning, float(way.positions[-1, 0]), float(way.positions[0, 0])
        started_s = time.monotonic()
        watch = _Watch(tuning.near_m / 4, np.array([self._aperture()]), started_s, tuning.grip_s / 2)
        while True:
            here, now = self._aperture(), time.monotonic()
            elapsed = now - self._began_s
            if reason := self._trouble():
                return reason
            self._renew(plan, elapsed)
            still_s = watch.still_s(np.array([here]), self._link.feedback.stamp_ns / 1e9)
            if elapsed >= way.duration_s and abs(here - target) <= tuning.near_m and still_s > 0.05:
                return ""
            if elapsed >= way.duration_s and still_s > tuning.grip_s:
                return self._gripped(start, here, target)
            if now - started_s > tuning.late * way.duration_s + tuning.margin_s:
                return f"time limit: the gripper is at {here:.4f} m of {target:.4f} m"
            self._link.feedback.wait(self._link.feedback.stamp_ns, 0.02)

    def _gripped(self, start: float, here: float, target: float) -> str:
        """Whether a gripper that stands short of its target has closed on something."""
        near = self._tuning.near_m
        if abs(here - start) <= near and abs(here - self._held_m) > near:
            return f"not followed: the gripper did not move from {here:.4f} m; is its controller active?"
        if target > start:
            return f"contact: the gripper stands at {here:.4f} m of {target:.4f} m"
        self._held_m = here
        return ""

    def _trouble(self) -> str:
        asleep = self._look()
        if asleep > ASLEEP_S:
            return f"asleep: this process did not run for {asleep:.2f} s"
        return "stopped" if self._stopping.is_set() else self._fault()

    def _look(self) -> float:
        """How long nobody looked [s]; after a window of that the controller has brought the arm to rest by itself."""
        now = time.monotonic()
        asleep, self._looked_s = now - self._looked_s, now
        self._slept = self._slept or asleep > self._tuning.window_s
        return asleep

    def _end(self, plan: Plan, reason: str) -> str:
        """Has the arm slow down, and again if it does not stand in time; returns why, and whether it stands."""
        self.stop()
        for _ in range(3):
            until = time.monotonic() + self._ramp_s(self._link.arm_speeds()) + self._tuning.stand_s
            calm = 0
            while time.monotonic() < until:
                self._look()
                fresh = self._link.feedback.wait(self._link.feedback.stamp_ns, 0.02)
                if fresh:
                    calm = calm + 1 if self._stands() else 0
                if calm == CALM:
                    return reason
            if self._fault():
                return reason  # whoever is not heard cannot be seen to stand
            with self._state:
                self._halt(plan)
        return f"{reason}; the arm does not stand"

    def _halt(self, plan: Plan) -> None:
        """Along the plan from where the arm was measured to rest; as if it was where it was told to be, where nothing
        is measured any more that can be believed."""
        self._look()
        if self._slept:
            return
        elapsed, again = time.monotonic() - self._began_s, self._halted_s < math.inf
        self._halted_s = elapsed = min(elapsed, self._halted_s)
        feedback = self._link.feedback
        if plan.arm:
            here, speed, at_s = *plan.arm.sample(elapsed), elapsed
            if feedback.age_s <= BELIEVED_S and not feedback.fault:
                here, speed = self._arm(), np.array(self._link.arm_speeds())
                further_s = self._ramp_s(plan.arm.peaks()) if again else 0.0
                at_s = plan.arm.progress(here, elapsed + further_s, further_s + self._tuning.window_s)
            elif again:
                return  # it was sent, and nothing new is known
            decels = [self._decel] * len(here)
            if np.abs(plan.arm.at(at_s) - here).max() > OFF_RAD:  # pushed away: it is not pulled back
                self._link.send_arm(halt(here, speed, decels))
            else:
                self._link.send_arm(plan.arm.stop(here, speed, at_s, decels))
        if plan.gripper and self._link.gripper:
            self._link.gripper.hold(float(plan.gripper.at(elapsed)[0]))

    def _ramp_s(self, speeds: Iterable[float]) -> float:
        return max(abs(one) for one in speeds) / self._decel

    def _stands(self) -> bool:
        return max(abs(one) for one in self._link.arm_speeds()) <= self._tuning.still_radps

    def _arm(self) -> F64:
        positions = self._link.positions()
        return np.array([value for name, value in positions.items() if name != GRIPPER_JOINT])

    def _aperture(self) -> float:
        return self._link.positions()[GRIPPER_JOINT]
