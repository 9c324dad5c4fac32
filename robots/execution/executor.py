"""Executor of commands: runs beside the robot, the same for every embodiment, between decisions and motion.

A robot moves only on a fresh decision of the holder of the lease. The executor refuses, with a reason, requests that
are stale, unknown, replayed, not finite or beyond the limits, or that come while another runs, and keeps no backlog. It
stops the robot, with a reason, when requests cease, when cameras freeze, on every hold (runstop, lost heartbeat, fault:
see `robots.execution.interlocks`), and whenever it ends. Every stop ends the lease, except a Stop requested under it.

What it does with a request is a state machine (`motion_state`); whether the request may move the robot decides the
`permission`; what must happen in time keeps the `watchdog`. Two threads: the body thread alone observes and moves (a
renderer's or a driver's handles belong to one thread); the watch thread asks the watchdog and the robot's health.
`stop()` may be called from any thread.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from types import TracebackType
from typing import TypeVar

from robots.command import Done, Stop
from robots.errors import RobotError
from robots.execution.command_request import CommandRequest, CommandResult, Status
from robots.execution.interlocks import CAMERA, CLOSED, RUNSTOP, WATCH, ask
from robots.execution.jobs import Jobs, answer_of
from robots.execution.joining import Joining
from robots.execution.listeners import Listener, StopListener, guarded, ignore
from robots.execution.motion_state import MotionState, Phase
from robots.execution.options import ExecutorOptions
from robots.execution.permission import Permission
from robots.execution.watch import Watch
from robots.execution.watchdog import Watchdog
from robots.limits import limit
from robots.robot import Robot, Sent

__all__ = ["RESET", "RETURNED", "Executor", "ExecutorOptions"]

T = TypeVar("T")
RESET, RETURNED = "reset", "the lease was given back"  # reasons of the stops before a new episode, and after a trial


class Executor:
    """Runs a robot: publishes its observations and executes fresh requests, one at a time.

    Args:
        robot: connected and disconnected by the executor, in the body thread.
        on_observation: called with every new Observation, from the body thread.
        on_result: called with the CommandResult of every request, from the thread that ended it.
        on_stop: called with the reason of every stop and the lease that it ended, empty when it ended none.
        stamp: gives observations the stamps of another clock, to whoever listens; see `freshness.Freshness`.
    """

    def __init__(
        self,
        robot: Robot,
        options: ExecutorOptions | None = None,
        *,
        on_observation: Listener = ignore,
        on_result: Listener = ignore,
        on_stop: StopListener = ignore,
        stamp: Callable[[int], int] = int,
    ) -> None:
        self.robot, self.options = robot, options or ExecutorOptions()
        self._on_observation, self._on_result, self._on_stop = on_observation, on_result, guarded(on_stop)
        self._wake = threading.Condition(threading.RLock())
        self._permission = Permission(self.options, stamp)
        self._motion = MotionState()
        self._watchdog = Watchdog(self.options)
        self._joining = Joining(robot, self._wake, self._motion, self._permission, self._watchdog)
        self._jobs = Jobs()
        self._counts: Counter[str] = Counter()
        self._positions: dict[str, float] = {}
        self._observe_at_s = time.monotonic()
        self._body = threading.Thread(target=self._run, name="body", daemon=True)
        self._watch = Watch(self._check, self.options.control_period_s / 20, partial(self.hold, WATCH))

    def start(self, *prepare: Callable[[], object]) -> None:
        """Connects the robot, runs `prepare` in the body thread, then starts observing. Raises what they raise."""

        def connect() -> None:
            try:
                self.robot.connect()
                for job in prepare:
                    job()
            except BaseException:
                self._permission.closed = True
                raise

        ready = self._jobs.ask(connect)
        self._body.start()
        ready.result()
        self._watch.start()

    def close(self, reason: str = "the executor was closed") -> None:
        """Stops the robot, disconnects it and ends the threads; idempotent."""
        if self._permission.closed:
            return
        with self._wake:
            # accepts no request between the stop and the end
            self._permission.interlocks.hold(CLOSED, f"closed: {reason}")
        self.stop(reason)
        with self._wake:
            self._permission.closed = True
            self._wake.notify_all()
        self._watch.end()
        if self._body.ident is not None:
            self._body.join(self.options.stop_timeout_s)
        with self._wake:
            self._jobs.drop()  # also when the robot hangs

    def __enter__(self) -> Executor:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close("the executor was closed" if kind is None else f"{kind.__name__}: {error}")

    @property
    def status(self) -> Status:
        """Current state."""
        with self._wake:
            interlocks, moving = self._permission.interlocks, "moving" if self._motion.is_moving else "idle"
            held = "runstop" if RUNSTOP in interlocks.holds else "held" if interlocks.reason else ""
            state = "closed" if self._permission.closed else held or moving
            age = None if self._permission.fresh.latest_ns < 0 else self._watchdog.observation_age_s
            return Status(state, interlocks.reason, self._motion.last_stop, dict(self._counts), age)

    def submit(self, request: CommandRequest) -> None:
        """Accepts or refuses a request without waiting for its motion; only a Stop waits for rest. See `on_result`."""
        if isinstance(request.command, Stop):
            self._begin_stop("stop command", keeps_lease=request.lease == self._permission.lease.held)
            at_rest = self._await_rest() == ""
            self._finish(request, Sent(request.command, blocked="" if at_rest else "the robot has not come to rest"))
            return
        began_ns = time.monotonic_ns()
        with self._wake:
            joins, refusal = self._joining.takes(request), "busy: another command is running"
            if self._motion.phase is Phase.IDLE and not (refusal := self._permission.refusal(request, began_ns / 1e9)):
                self._motion.accept(request)
                self._wake.notify_all()
                return
        sent = self._joining.join(request) if joins else Sent(request.command, refused=refusal)
        self._counts["started"] += not sent.refused
        self._finish(request, sent, began_ns=began_ns)

    def begin(self) -> str:
        """Grants the lease that every request must carry from now on; its holder must `renew` it.

        Raises RobotError, whose first word is the reason, while another holds it or nothing may move.
        """
        with self._wake:
            lease, busy = self._permission.lease, self._motion.phase is not Phase.IDLE
            if refusal := self._permission.unfit() or (
                "busy: another client drives the robot" if lease.held or busy else ""
            ):
                raise RobotError(refusal)
            return lease.grant(time.monotonic())

    def renew(self, lease: str) -> None:
        """Records a heartbeat of the holder of `lease`."""
        with self._wake:
            self._permission.lease.renew(lease, time.monotonic())

    def give_back(self, lease: str) -> None:
        """Ends `lease` at its holder's request; stops the robot."""
        if lease and lease == self._permission.lease.held:
            self._begin_stop(RETURNED)

    def stop(self, reason: str) -> bool:
        """Stops the robot, ends the lease, voids every decision made so far; True when the robot is at rest.

        The stop is repeated until then, so that it cannot fall between two steps."""
        self._begin_stop(reason)
        return self._await_rest() == ""

    def hold(self, name: str, reason: str) -> None:
        """Stops the robot and refuses everything, for `reason`, until `release(name)`; does not block."""
        with self._wake:
            new = self._permission.interlocks.hold(name, reason)
        if new:
            self._begin_stop(reason)

    def release(self, name: str) -> None:
        """Ends a hold. Nothing moves by that; decisions made in the meantime are void."""
        with self._wake:
            self._permission.release(name)

    def runstop(self, on: bool) -> bool:
        """Sets or clears the latched emergency stop; returns whether the robot is at rest, or the latch clear."""
        if not on:
            self.release(RUNSTOP)
            return True
        self.hold(RUNSTOP, "runstop: the runstop is on")
        return self._await_rest() == ""

    def expect(self, name: str, timeout_s: float) -> None:
        """Requires `beat(name)` at least every `timeout_s` from now on; see `interlocks.HeartbeatMonitor`."""
        with self._wake:
            self._permission.interlocks.expect(name, timeout_s)

    def beat(self, name: str) -> None:
        """Records a beat of the heartbeat `name`."""
        with self._wake:
            self._permission.interlocks.beat(name, time.monotonic())

    def call(self, job: Callable[[], T], timeout_s: float | None = None) -> T:
        """Runs `job` in the body thread between requests (a reset, a judge) and returns its result.

        Raises what `job` raises, and RobotError when the executor is closed or does not answer in time; a job that has
        not begun by then is cancelled.
        """
        timeout_s = self.options.job_timeout_s if timeout_s is None else timeout_s
        with self._wake:
            if self._permission.closed:
                raise RobotError("closed: the executor is closed")
            answer = self._jobs.ask(job)
            self._wake.notify_all()
        return answer_of(answer, timeout_s, self.robot.spec.name)

    def restart(self, job: Callable[[], T]) -> T:
        """Stops the robot, runs `job` in the body thread (a new episode) and voids every decision made before it."""
        self.stop(RESET)

        def begin() -> T:
            answer = job()
            self._permission.fresh.void(RESET)
            return answer

        return self.call(begin)

    def _begin_stop(self, reason: str, keeps_lease: bool = False) -> None:
        with self._wake:
            self._motion.stop(reason)
            ended = self._permission.stop(reason, keeps_lease)
        failure = self._stop_body()
        self._on_stop(f"{reason}; {failure}" if failure else reason, ended)

    def _await_rest(self) -> str:
        """Repeats the stop until the robot is at rest or the time limit; returns the failure, empty if none."""
        deadline = time.monotonic() + self.options.stop_timeout_s
        failure = self._stop_body()
        while self._motion.is_moving and time.monotonic() < deadline:
            with self._wake:
                self._wake.wait(0.02)
            failure = self._stop_body()
        return "the robot has not come to rest" if self._motion.is_moving else failure

    def _stop_body(self) -> str:
        try:
            self.robot.stop()
        except Exception as error:  # whatever a driver raises, the listeners must still be notified
            return f"the robot's stop failed: {type(error).__name__}: {error}"
        finally:
            if self._watch.is_here:
                with self._wake:
                    self._permission.interlocks.note_stop(time.monotonic())
        return ""

    def _run(self) -> None:
        try:
            while (job := self._next()) is not None:
                self._do(job)
        finally:
            with self._wake:
                self._jobs.drop()
            self.robot.disconnect()

    def _do(self, job: Callable[[], None]) -> None:
        """Runs a job; an exception of a listener stops the robot and must not end this thread."""
        try:
            job()
        except Exception as error:
            if job == self._execute:
                self._motion.end()
            self._fail(error)
        finally:
            with self._wake:
                self._watchdog.rest()

    def _fail(self, error: Exception) -> None:
        self.hold(CAMERA, f"{type(error).__name__}: {error}")

    def _next(self) -> Callable[[], None] | None:
        """Waits for the next job: a call, the request, or an observation that is due. None at the end."""
        with self._wake:
            while not self._permission.closed:
                now = time.monotonic()
                if self._jobs:
                    self._watchdog.work()
                    return self._jobs.take()
                if self._motion.phase is Phase.ACCEPTED:
                    self._watchdog.work()
                    return self._execute
                if now >= self._observe_at_s:
                    return self._observe
                self._wake.wait(self._observe_at_s - now)
        return None

    def _observe(self) -> None:
        taken, stops = time.monotonic(), self._motion.stops
        self._observe_at_s = taken + self.options.observe_period_s
        try:
            observation = self.robot.observe()
        except Exception as error:  # a driver may raise anything; a lost camera must stop the robot, not the executor
            self.hold(CAMERA, f"camera failed: {type(error).__name__}: {error}")
            return
        with self._wake:
            if self._motion.stops != stops:
                self._observe_at_s = 0.0  # perhaps sensed before the stop: no decision may use it
                return
            stamp_ns = self._permission.fresh.hand_out(observation.stamp_ns, taken)
            if stamp_ns is None:
                return
            self._watchdog.observed()
            self._positions = self.robot.spec.named(observation.state)
        self._on_observation(replace(observation, stamp_ns=stamp_ns))
        with self._wake:
            self._permission.interlocks.release(CAMERA)  # released once listeners have the observation

    def _execute(self) -> None:
        with self._wake:
            request = self._motion.request
            assert request is not None  # checked by `_next`
            refusal = self._permission.refusal(request, time.monotonic())  # time has passed since it was accepted
            allowed = limit(request.command, self.robot.spec, self._positions)
            is_done = isinstance(request.command, Done)
            if not refusal and not allowed.refused and self.options.shadow and not is_done:
                refusal = "shadow: nothing is sent to the robot"
            allowed = replace(allowed, refused=refusal) if refusal else allowed
            if not allowed.refused:
                self._permission.fresh.use(request.stamp_ns)
                self._motion.start(time.monotonic(), awaits_next=not is_done)
                self._counts["started"] += 1
        began_ns, reported = time.monotonic_ns(), False
        if not allowed.refused and self._joining.begins(allowed.command):
            begun = partial(self._finish, request, allowed, "", began_ns)
            sent = self._joining.play(partial(self._move, allowed), begun, self._observe, self._fail)
            reported = self._joining.begun
        else:
            sent = allowed if allowed.refused else self._move(allowed)
        with self._wake:
            newest = self._motion.request or request
            stopped, self._observe_at_s = self._motion.end(), 0.0
            self._wake.notify_all()
            if reported:
                self._permission.fresh.settle(sent.blocked)
                sent = replace(sent, command=newest.command)
        if not reported or stopped or sent.blocked:
            self._finish(newest, sent, stopped, began_ns)

    def _move(self, allowed: Sent) -> Sent:
        try:
            sent = self.robot.execute(allowed.command)
        except Exception as error:  # a driver may raise anything; what is not known to have succeeded is blocked
            sent = Sent(allowed.command, blocked=f"{type(error).__name__}: {error}")
            self._stop_body()
        return replace(sent, clipped=tuple(dict.fromkeys((*allowed.clipped, *sent.clipped))))

    def _finish(self, request: CommandRequest, sent: Sent, stopped: str = "", began_ns: int | None = None) -> None:
        ended_ns = time.monotonic_ns()
        checked_ns = ended_ns if began_ns is None else began_ns
        with self._wake:
            self._counts["refused" if sent.refused else "blocked" if sent.blocked else "executed"] += 1
            age = self._permission.fresh.age_s(request.stamp_ns, checked_ns / 1e9)
            fresh, going_on = self._permission.fresh, sent.refused or self._motion.is_moving
            after = max(request.stamp_ns, fresh.settled_ns) if going_on else fresh.latest_ns
            if sent.refused:
                stopped = self._permission.ended(request)
        began_ns, duration_s = (-1, 0.0) if sent.refused else (checked_ns, (ended_ns - checked_ns) / 1e9)
        self._on_result(CommandResult(request.stamp_ns, sent, stopped, after, age, began_ns, duration_s, request.lease))

    def _check(self) -> None:
        """Stops the robot on an interlock, a motion that takes too long, frozen cameras, or ceased requests."""
        health = ask(self.robot)
        with self._wake:
            if self._permission.closed:  # its robot is being disconnected
                return
            reasons = self._permission.update(time.monotonic(), time.time(), health)
        for reason in reasons:
            self._begin_stop(reason)
        if self._motion.phase is Phase.STOPPING:
            self._stop_body()  # again, until it is at rest
        with self._wake:
            if self._permission.closed:
                return
            overdue = self._watchdog.overdue(self._motion)
        if overdue.hold:
            self.hold(CAMERA, overdue.hold)
        elif overdue.stop:
            self.stop(overdue.stop)
