"""The plan that an arm follows at this moment, on to which the next chunk may be joined from another thread."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace

from robots.arms.planner import ArmPlanner, Plan, Refused
from robots.command import Chunk
from robots.limits import limit
from robots.robot import Sent

LEAD_S = (0.03, 0.06, 0.12, 0.25)
"""A join begins so much after it was asked for, time enough to plan and check it; the later ones on a busy machine."""

ENDED = "late: the chunk that it was to be joined on to has ended"


class RunningPlan:
    """Plan and its clock, replaced as a whole and only while it runs. Any thread may call.

    Args:
        clock: monotonic time [s]; that of the simulation, where there is one.
        changed: called with every new plan, under `lock`.

    Attributes:
        lock: of whoever sends what the plan asks for: neither a stop nor a join falls between looking and sending.
        began_s: when the plan began, on the clock; set it under the lock.
    """

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, changed: Callable[[Plan], None] = lambda plan: None
    ) -> None:
        self.lock = threading.RLock()
        self.began_s = 0.0
        self._clock, self._changed = clock, changed
        self._plan: Plan | None = None
        self._open = False

    @property
    def open(self) -> bool:
        """Whether a chunk may be joined on."""
        return self._open

    @property
    def active(self) -> bool:
        """Whether there is a plan."""
        return self._plan is not None

    @property
    def plan(self) -> Plan:
        """The present one. RuntimeError where there is none."""
        if self._plan is None:
            raise RuntimeError("no plan runs: begin() one first")
        return self._plan

    def state(self) -> tuple[Plan, float]:
        """The present plan and when it began, on the clock; they change together."""
        with self.lock:
            return self.plan, self.began_s

    def begin(self, plan: Plan, joins: bool) -> None:
        """Starts to follow `plan` now; with `joins` others may be joined on."""
        with self.lock:
            self._plan, self.began_s, self._open = plan, self._clock(), joins and plan.arm is not None

    def close(self) -> None:
        """Ends joining: the plan is at its end, or a stop came."""
        with self.lock:
            self._open = False

    def end(self) -> None:
        """There is no plan any more."""
        with self.lock:
            self._plan, self._open = None, False

    def elapsed_s(self) -> float:
        """Time since the present plan began; closes it at its end."""
        with self.lock:
            elapsed_s = self._clock() - self.began_s
            if self._plan is not None and elapsed_s >= self._plan.duration_s:
                self._open = False
            return elapsed_s

    def join(self, planner: ArmPlanner, chunk: Chunk, sensed_s: float) -> Sent:
        """Replaces the plan by one that goes on with `chunk`, decided from what was sensed at `sensed_s` on the clock.

        The path is planned and checked as a whole outside the lock, and taken if what runs is still what it leaves.
        """
        sent = Sent(chunk, refused=ENDED)
        for lead_s in LEAD_S:
            with self.lock:
                plan, began_s, at_s = self._plan, self.began_s, self.elapsed_s() + lead_s
                if not self._open or plan is None or plan.arm is None or at_s >= plan.arm.duration_s:
                    return Sent(chunk, refused=ENDED)
            sent = limit(chunk, planner.body, planner.base(plan, chunk, sensed_s - began_s))
            if sent.refused or not isinstance(sent.command, Chunk):
                return sent
            try:
                joined, shift_s = planner.join(plan, sent.command, sensed_s - began_s, at_s)
            except Refused as refusal:
                return replace(sent, refused=str(refusal))
            with self.lock:
                if not self._open or self._plan is not plan:
                    return replace(sent, refused=ENDED)
                if self.elapsed_s() <= at_s:
                    self._plan, self.began_s = joined, self.began_s + shift_s
                    self._changed(joined)
                    return sent
        return replace(sent, refused=f"late: planning takes longer than {LEAD_S[-1]} s")
