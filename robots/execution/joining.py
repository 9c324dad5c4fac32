"""One motion of many chunks: the robot plays in a thread of its own while the next chunk is decided and joined on."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from dataclasses import replace

from robots.command import Chunk, Command
from robots.execution.command_request import CommandRequest
from robots.execution.motion_state import MotionState, Phase
from robots.execution.permission import Permission
from robots.execution.watchdog import Watchdog
from robots.limits import limit
from robots.robot import JoinsChunks, Robot, Sent

OBSERVE_S = 0.05
"""Shortest period of observations during such a motion."""

POLL_S = 0.005
"""Period of the check whether the motion has begun or ended."""


class Joining:
    """Plays and joins chunks of a robot that can, by the permission and in the state of its executor.

    Args:
        robot: others than `JoinsChunks` join nothing.
        lock: the executor's, which guards the three.

    Attributes:
        begun: the present motion has begun, and its result was reported.
    """

    def __init__(
        self,
        robot: Robot,
        lock: threading.Condition,
        motion: MotionState,
        permission: Permission,
        watchdog: Watchdog,
    ) -> None:
        self._robot = robot if isinstance(robot, JoinsChunks) else None
        self._body, self._lock, self._motion, self._permission = robot, lock, motion, permission
        self._watchdog = watchdog
        self._one = threading.Lock()
        self.begun = False

    def begins(self, command: Command) -> bool:
        """Whether others may be joined on to this command."""
        return self._robot is not None and isinstance(command, Chunk) and command.joins

    def takes(self, request: CommandRequest) -> bool:
        """Whether `request` goes on with the chunk that runs; the lock is held."""
        running = self._motion.request
        if self._motion.phase is not Phase.MOVING or running is None or not self.begun:
            return False
        return self.begins(request.command) and self.begins(running.command)

    def join(self, request: CommandRequest) -> Sent:
        """Checks a request as any other, and joins it on to what runs; a stop that comes meanwhile ends both."""
        with self._one:
            now = time.monotonic()
            with self._lock:
                refusal = self._permission.refusal(request, now)
                sensed_ns = self._permission.fresh.sensed_ns(request.stamp_ns)
            if refusal:
                return Sent(request.command, refused=refusal)
            sent = self._join(request.command, sensed_ns)
            with self._lock:
                if not sent.refused:
                    self._permission.fresh.use(request.stamp_ns)
                    self._motion.join(replace(request, command=sent.command), now)
            return sent

    def play(
        self,
        move: Callable[[], Sent],
        begun: Callable[[], None],
        observe: Callable[[], None],
        failed: Callable[[Exception], None],
    ) -> Sent:
        """Runs `move` in a thread of its own; calls `begun` once it follows its rows, and `observe` again and again.

        Exceptions of those two go to `failed`, which must stop the robot; this returns when it is at rest.
        """
        assert self._robot is not None  # see `begins`
        assert self._motion.request is not None
        assert isinstance(self._motion.request.command, Chunk)
        self.begun, period_s = False, max(OBSERVE_S, self._motion.request.command.period_s)
        moving, observe_at_s = _started(move), time.monotonic() + period_s
        while not moving.done():
            try:
                if not self.begun and self._robot.following:
                    self.begun = self._watchdog.observing = True
                    begun()
                if self.begun and time.monotonic() >= observe_at_s:
                    observe_at_s = time.monotonic() + period_s
                    observe()
            except Exception as error:  # of a listener
                failed(error)
            wait([moving], POLL_S)
        return moving.result()

    def _join(self, command: Command, sensed_ns: int) -> Sent:
        assert self._robot is not None  # see `takes`
        assert isinstance(command, Chunk)
        start = dict(zip(command.names, command.rows[0])) if command.rows else {}
        allowed = limit(command, self._body.spec, start)  # the way to the first row is the robot's to check
        if allowed.refused or not isinstance(allowed.command, Chunk):
            return allowed
        try:
            sent = self._robot.join(allowed.command, sensed_ns)
        except Exception as error:  # a driver may raise anything; what runs goes on to its end
            return Sent(command, refused=f"{type(error).__name__}: {error}")
        return replace(sent, clipped=tuple(dict.fromkeys((*allowed.clipped, *sent.clipped))))


def _started(move: Callable[[], Sent]) -> Future[Sent]:
    done: Future[Sent] = Future()

    def run() -> None:
        try:
            done.set_result(move())
        except BaseException as error:  # re-raised where the result is awaited
            done.set_exception(error)

    threading.Thread(target=run, name="motion", daemon=True).start()
    return done
