"""Moves a connected Piper along trajectories, and stops it."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from robots.arms.planner import ArmPlanner, Plan
from robots.arms.running_plan import RunningPlan
from robots.arms.tracking import ASLEEP_S, HELD_S, SettleDetector, goal_error, tracking_error
from robots.command import Chunk
from robots.drivers.piper.link import PiperLink
from robots.embodiment import JointLimits
from robots.robot import Sent

F64 = npt.NDArray[np.float64]

MARGIN_S = 2.0
"""Time by which a motion may exceed its planned duration."""

SETTLE_S = 1.0
"""A stopped arm is at rest within this time: from 3 rad/s at 5 rad/s^2 it takes 0.6 s."""

POLL_S = 0.02
"""How often is checked for an arrival."""

NEAR = 0.03
"""A joint this near to its commanded position has reached it, apart from sag [rad]."""

BRAKE_RAD = 0.05
"""Largest distance of a stopped joint's target from its measured position."""

STOPPED = "stopped"


class PiperMotion:
    """Streams joint targets to one arm. `follow` belongs to one thread; `stop` and `join` may come from any.

    Args:
        link: the open connection.
        joints: limits of the joints and the gripper, in the order of a row; commands are clipped to them.
        rate_hz: rate of targets.
    """

    def __init__(self, link: PiperLink, joints: Mapping[str, JointLimits], rate_hz: float) -> None:
        self._link, self._names, self._period_s = link, tuple(joints), 1.0 / rate_hz
        self._low, self._high = (
            np.array([getattr(joint, end) for joint in joints.values()]) for end in ("low", "high")
        )
        self._commanded: F64 | None = None
        self._gripper_commanded = False
        self._sent_s, self._suspended = math.inf, False  # of a motion that is streamed; whether it was suspended
        self._stopped, self._wire = threading.Event(), threading.RLock()
        self._running = RunningPlan()

    def begin(self) -> None:
        """Permits a new motion; clears an earlier stop."""
        self._suspended = False
        self._stopped.clear()

    def stop(self) -> None:
        """Ends a running motion: the arm holds its position, the gripper keeps its command."""
        self._stopped.set()
        self._running.close()
        with self._wire:
            if not self._link.lost():
                self.hold()

    @property
    def following(self) -> bool:
        """Whether it plays a chunk that another may be joined on to."""
        return self._running.open

    def join(self, planner: ArmPlanner, chunk: Chunk, sensed_ns: int) -> Sent:
        """Joins `chunk`, decided from what was sensed then, on to the one that `follow` plays."""
        return self._running.join(planner, chunk, sensed_ns / 1e9)

    def current(self) -> dict[str, float]:
        """Start of a motion: the commanded positions of joints that reached them, so that sag does not accumulate."""
        measured = np.array(self._link.positions())
        if self._commanded is not None:
            near = np.abs(self._commanded - measured) < NEAR
            near[-1] = self._gripper_commanded  # fingers that hold something are never at their goal
            measured = np.where(near, self._commanded, measured)
        return dict(zip(self._names, measured.tolist()))

    def hold(self) -> None:
        """Commands the arm to hold its position; a moving arm continues to its commanded position if that is near.

        The measured position of a moving arm lags: commanded to it, the arm would swing back. When this process was
        suspended in a motion nothing is sent until the next one: the arm stays where it was commanded to, and the bus
        first delivers what it buffered before, for as long as this process takes to read it.
        """
        self._slept(self._sent_s)
        if self._suspended:
            return
        held = measured = np.array(self._link.positions())
        if self._commanded is not None:
            held = measured + np.clip(self._commanded - measured, -BRAKE_RAD, BRAKE_RAD)
            held[-1] = self._commanded[-1] if self._gripper_commanded else measured[-1]
        held = np.clip(held, self._low, self._high)
        self._link.send_joints(held[:-1].tolist())
        self._commanded = held

    def follow(self, plan: Plan, joins: bool = False) -> str:
        """Executes a plan, and what is joined on to it, and waits until the measured joints are at rest at its end.

        Returns the failure, or "".
        """
        initial = np.array(list(self.current().values()))
        self._sent_s = time.monotonic()
        self._running.begin(plan, joins)
        try:
            blocked = self._play(initial)
            self._sent_s = math.inf
            plan = self._running.plan
            blocked = blocked or self._arrive(plan.row(initial, plan.duration_s))
        finally:
            self._running.end()
        if blocked:
            self.stop()
            self._settle()
        return blocked

    def _play(self, initial: F64) -> str:
        checked = time.monotonic()
        while True:
            if asleep := self._slept(checked):
                return asleep
            checked = time.monotonic()
            if not self._send(initial):
                return self._slept(checked) or STOPPED
            plan, began_s = self._running.state()
            if checked - began_s >= plan.duration_s:
                return ""
            measured_s = self._link.stamp_ns / 1e9 - began_s  # as old as the feedback is
            fault = self._link.lost() or self._link.fault()
            fault = fault or tracking_error(
                plan.arm, measured_s, self._names[:-1], np.array(self._link.positions()[:-1])
            )
            if fault:
                return fault
            self._stopped.wait(self._period_s)

    def _slept(self, checked: float) -> str:
        """Reason to abort after the process was suspended: the next target would be a jump of the arm; or ""."""
        now = time.monotonic()
        if now - checked <= ASLEEP_S:
            return ""
        self._suspended = True
        return f"asleep: this process did not run for {now - checked:.2f} s"

    def _arrive(self, end: F64) -> str:
        detector, goal = SettleDetector(), dict(zip(self._names, end.tolist()))
        deadline = time.monotonic() + MARGIN_S
        while not self._stopped.wait(POLL_S):
            if fault := self._link.lost() or self._link.fault():
                return fault
            now, measured = time.monotonic(), np.array(self._link.positions())
            held = bool(detector.settled(now, measured, HELD_S)[-1])
            off = goal_error(goal, measured, held)
            if not off and detector.settled(now, measured).all():
                return ""
            if now > deadline:
                return f"time limit: {off or 'the arm does not come to rest'}"
        return STOPPED

    def _settle(self) -> None:
        """Waits after a stop until the arm is at rest by its feedback."""
        detector, deadline = SettleDetector(), time.monotonic() + SETTLE_S
        while time.monotonic() < deadline and not self._link.lost():
            if detector.settled(time.monotonic(), np.array(self._link.positions())).all():
                return
            time.sleep(POLL_S)

    def _send(self, initial: F64) -> bool:
        """Sends the row that is due unless a stop came first, or this process was suspended: these end the motion."""
        with self._wire, self._running.lock:
            computed_s = time.monotonic()
            plan, elapsed_s = self._running.plan, self._running.elapsed_s()
            row = np.clip(plan.row(initial, elapsed_s), self._low, self._high)
            if self._stopped.is_set() or self._slept(computed_s):
                return False
            self._link.send_joints(row[:-1].tolist())
            self._sent_s = time.monotonic()
            if plan.gripper is not None:
                self._link.send_gripper(float(row[-1]))
                self._gripper_commanded = True
            self._commanded = row
            return True
