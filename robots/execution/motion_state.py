"""State machine of an executor: one request at a time, and the stops that end its motion.

    IDLE --accept--> ACCEPTED --start--> MOVING --stop--> STOPPING
      ^                  |                  |                 |
      +------ end -------+------- end ------+------ end ------+
                                        | ^
                                        join: another chunk goes on with the one that runs

A stop while nothing moves changes no phase: it voids the permission to move (`permission.py`), so that an accepted
request is refused before it starts. What may start at all is the permission's decision, not this machine's.
"""

from __future__ import annotations

from enum import Enum

from robots.execution.command_request import CommandRequest


class Phase(Enum):
    """What an executor does with its request."""

    IDLE = "idle"
    """There is none."""
    ACCEPTED = "accepted"
    """It waits for the body thread, which checks it once more."""
    MOVING = "moving"
    """The robot executes it."""
    STOPPING = "stopping"
    """A stop came; it is repeated until the robot is at rest."""


class MotionState:
    """Phase of the current request, and what is known of the last stop. Not thread-safe: its executor holds a lock.

    Attributes:
        phase: changed only by the methods below, each from the phases that it names.
        request: the current one; None when idle.
        began_s: monotonic time at which the motion began.
        last_stop: reason of the last stop; empty when there was none.
        stops: number of stops so far.
        awaits_next: the motion that began last calls for another request; a stop ends that.
    """

    def __init__(self) -> None:
        self.phase = Phase.IDLE
        self.request: CommandRequest | None = None
        self.began_s = 0.0
        self.last_stop = ""
        self.stops = 0
        self.awaits_next = False

    @property
    def is_moving(self) -> bool:
        """Whether the robot may be in motion."""
        return self.phase in (Phase.MOVING, Phase.STOPPING)

    def accept(self, request: CommandRequest) -> None:
        """IDLE -> ACCEPTED."""
        self._leave(Phase.IDLE)
        self.phase, self.request = Phase.ACCEPTED, request

    def start(self, now_s: float, awaits_next: bool) -> None:
        """ACCEPTED -> MOVING."""
        self._leave(Phase.ACCEPTED)
        self.phase, self.began_s, self.awaits_next = Phase.MOVING, now_s, awaits_next

    def join(self, request: CommandRequest, now_s: float) -> None:
        """MOVING -> MOVING: the motion is that of another request from now on; after a stop it changes nothing."""
        if self.phase is Phase.MOVING:
            self.request, self.began_s = request, now_s

    def stop(self, reason: str) -> None:
        """MOVING -> STOPPING; counts in every phase."""
        self.stops += 1
        self.last_stop, self.awaits_next = reason, False
        if self.phase is Phase.MOVING:
            self.phase = Phase.STOPPING

    def end(self) -> str:
        """Any phase -> IDLE; returns why the motion was stopped before its end, empty when it was not."""
        stopped = self.last_stop if self.phase is Phase.STOPPING else ""
        self.phase, self.request = Phase.IDLE, None
        return stopped

    def _leave(self, phase: Phase) -> None:
        if self.phase is not phase:
            raise RuntimeError(f"a motion cannot begin: got phase {self.phase.value}, expected {phase.value}")
