"""Moves a connected Piper along trajectories, and stops it."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from robots.arms.planner import Plan
from robots.arms.tracking import ASLEEP_S, HELD_S, SettleDetector, goal_error, tracking_error
from robots.drivers.piper.link import PiperLink
from robots.embodiment import JointLimits

F64 = npt.NDArray[np.float64]

MARGIN_S = 2.0
"""A motion may take so much longer than planned."""

SETTLE_S = 1.0
"""A stopped arm stands within this time: from 3 rad/s at 5 rad/s^2 it takes 0.6 s."""

POLL_S = 0.02
"""How often is looked for an arrival."""

NEAR = 0.03
"""A joint this near to where it was told to be is there, but for sag [rad]."""

BRAKE_RAD = 0.05
"""A stopped joint ends at most this far from where it was measured."""

STOPPED = "stopped"


class PiperMotion:
    """Streams joint targets to one arm. `follow` belongs to one thread; `stop` may come from any.

    Args:
        link: the open connection.
        joints: of the joints and the gripper, in the order of a row: nothing beyond their ranges is sent.
        rate_hz: how often targets are sent.
    """

    def __init__(self, link: PiperLink, joints: Mapping[str, JointLimits], rate_hz: float) -> None:
        self._link, self._names, self._period_s = link, tuple(joints), 1.0 / rate_hz
        self._low, self._high = (np.array([getattr(one, end) for one in joints.values()]) for end in ("low", "high"))
        self._told: F64 | None = None
        self._gripper_told = False
        self._stopped, self._wire = threading.Event(), threading.RLock()

    def begin(self) -> None:
        """A new motion may be sent; a stop that came before is done with."""
        self._stopped.clear()

    def stop(self) -> None:
        """Ends a running motion: the arm holds where it is, the gripper keeps what it was told."""
        self._stopped.set()
        with self._wire:
            if not self._link.lost():
                self.hold()

    def here(self) -> dict[str, float]:
        """Where a motion starts: where the joints were told to be if they are there, so that sag does not add up."""
        measured = np.array(self._link.positions())
        if self._told is not None:
            near = np.abs(self._told - measured) < NEAR
            near[-1] = self._gripper_told  # fingers that hold something are never at their goal
            measured = np.where(near, self._told, measured)
        return dict(zip(self._names, measured.tolist()))

    def hold(self) -> None:
        """Tells the arm to stay where it is; a moving one may go on to where it was told to be, if that is near.

        The measured position of a moving arm lies behind it: told to be there, it would swing back.
        """
        held = measured = np.array(self._link.positions())
        if self._told is not None:
            held = measured + np.clip(self._told - measured, -BRAKE_RAD, BRAKE_RAD)
            held[-1] = self._told[-1] if self._gripper_told else measured[-1]
        held = np.clip(held, self._low, self._high)
        self._link.send_joints(held[:-1].tolist())
        self._told = held

    def follow(self, plan: Plan) -> str:
        """Moves as planned and waits until the measured joints stand at its end; why they do not, or nothing."""
        begun = np.array(list(self.here().values()))
        blocked = self._play(plan, begun) or self._arrive(plan.row(begun, plan.duration_s))
        if blocked:
            self.stop()
            self._settle()
        return blocked

    def _play(self, plan: Plan, begun: F64) -> str:
        began, gripper = time.monotonic(), plan.gripper is not None
        looked = began
        while (elapsed := time.monotonic() - began) < plan.duration_s:
            if asleep := self._slept(looked):
                return asleep
            looked = began + elapsed
            if not self._send(plan.row(begun, elapsed), gripper):
                return STOPPED
            measured_s = self._link.stamp_ns / 1e9 - began  # as old as the feedback is
            trouble = self._link.lost() or self._link.trouble()
            trouble = trouble or tracking_error(
                plan.arm, measured_s, self._names[:-1], np.array(self._link.positions()[:-1])
            )
            if trouble:
                return trouble
            self._stopped.wait(self._period_s)
        if asleep := self._slept(looked):
            return asleep
        return "" if self._send(plan.row(begun, plan.duration_s), gripper) else STOPPED

    def _slept(self, looked: float) -> str:
        """Why the motion must not go on: a jump to where the clock is would be one of the arm."""
        asleep = time.monotonic() - looked
        return f"asleep: this process did not run for {asleep:.2f} s" if asleep > ASLEEP_S else ""

    def _arrive(self, end: F64) -> str:
        detector, goal = SettleDetector(), dict(zip(self._names, end.tolist()))
        deadline = time.monotonic() + MARGIN_S
        while not self._stopped.wait(POLL_S):
            if trouble := self._link.lost() or self._link.trouble():
                return trouble
            now, measured = time.monotonic(), np.array(self._link.positions())
            held = bool(detector.settled(now, measured, HELD_S)[-1])
            off = goal_error(goal, measured, held)
            if not off and detector.settled(now, measured).all():
                return ""
            if now > deadline:
                return f"time limit: {off or 'the arm does not stand'}"
        return STOPPED

    def _settle(self) -> None:
        """Waits until the arm stands after a stop, as far as it tells."""
        detector, deadline = SettleDetector(), time.monotonic() + SETTLE_S
        while time.monotonic() < deadline and not self._link.lost():
            if detector.settled(time.monotonic(), np.array(self._link.positions())).all():
                return
            time.sleep(POLL_S)

    def _send(self, row: F64, gripper: bool) -> bool:
        """Sends one row unless a stop came first; then nothing more of this motion ever is."""
        with self._wire:
            if self._stopped.is_set():
                return False
            row = np.clip(row, self._low, self._high)
            self._link.send_joints(row[:-1].tolist())
            if gripper:
                self._link.send_gripper(float(row[-1]))
                self._gripper_told = True
            self._told = row
            return True
