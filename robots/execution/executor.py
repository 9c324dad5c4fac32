"""Executor of commands: runs beside the robot, the same for every embodiment, between decisions and motion.

A robot moves only on a fresh decision of the holder of the lease. The executor refuses, with a reason, requests that
are stale, unknown, replayed, not finite or beyond the limits, or that come while another runs, and keeps no backlog. It
stops the robot, with a reason, when requests cease, when cameras freeze, on every hold (runstop, lost heartbeat, fault:
see `robots.execution.interlocks`), and whenever it ends. Every stop ends the lease, except a Stop requested under it.

Two threads: the body thread alone observes and moves (a renderer's or a driver's handles belong to one thread); the
watch thread checks timeouts and health. `stop()` may be called from any thread.
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
from robots.execution.freshness import Freshness
from robots.execution.interlocks import CAMERA, CLOSED, RUNSTOP, WATCH, Interlocks, ask
from robots.execution.jobs import Jobs, answer_of
from robots.execution.lease import Lease
from robots.execution.listeners import Listener, StopListener, guarded, ignore
from robots.execution.options import ExecutorOptions
from robots.execution.watch import Watch
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
    """

    def __init__(
        self,
        robot: Robot,
        options: ExecutorOptions | None = None,
        *,
        on_observation: Listener = ignore,
        on_result: Listener = ignore,
        on_stop: StopListener = ignore,
    ) -> None:
        self.robot, self.options = robot, options or ExecutorOptions()
        self._on_observation, self._on_result, self._on_stop = on_observation, on_result, guarded(on_stop)
        self._wake = threading.Condition(threading.RLock())
        self._fresh = Freshness(self.options.max_age_periods * self.options.control_period_s)
        self._jobs = Jobs()
        self._lease = Lease(self.options.heartbeat_timeout_s)
        self._request: CommandRequest | None = None
        self._busy = self._moving = self._awaiting = self._closed = False
        self._interlocks = Interlocks(self.options.interlocks)
        self._stop_reason = self._last_stop = ""
        self._stops = 0
        self._counts: Counter[str] = Counter()
        self._positions: dict[str, float] = {}
        self._idle_since_s = self._advanced_s = self._observe_at_s = self._moving_since_s = time.monotonic()
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
                self._closed = True
                raise

        ready = self._jobs.ask(connect)
        self._body.start()
        ready.result()
        self._watch.start()

    def close(self, reason: str = "the executor was closed") -> None:
        """Stops the robot, disconnects it and ends the threads; idempotent."""
        if self._closed:
            return
        with self._wake:
            self._interlocks.hold(CLOSED, f"closed: {reason}")  # accepts no request between the stop and the end
        self.stop(reason)
        with self._wake:
            self._closed = True
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
            reason = self._interlocks.reason
            held = "runstop" if RUNSTOP in self._interlocks.holds else "held" if reason else ""
            state = held or ("moving" if self._moving else "idle")
            age = None if self._fresh.latest_ns < 0 else time.monotonic() - self._advanced_s
            return Status("closed" if self._closed else state, reason, self._last_stop, dict(self._counts), age)

    def submit(self, request: CommandRequest) -> None:
        """Accepts or refuses a request without waiting for its motion; only a Stop waits for rest. See `on_result`."""
        if isinstance(request.command, Stop):
            self._begin_stop("stop command", keeps_lease=request.lease == self._lease.held)
            at_rest = self._await_rest() == ""
            self._finish(request, Sent(request.command, blocked="" if at_rest else "the robot has not come to rest"))
            return
        with self._wake:
            refusal = "busy: another command is running" if self._request else self._refusal(request)
            if not refusal:
                self._request = request
                self._wake.notify_all()
                return
        self._finish(request, Sent(request.command, refused=refusal))

    def begin(self) -> str:
        """Grants the lease that every request must carry from now on; its holder must `renew` it.

        Raises RobotError, whose first word is the reason, while another holds it or nothing may move.
        """
        with self._wake:
            busy = self._lease.held or self._moving or self._request
            if refusal := self._unfit() or ("busy: another client drives the robot" if busy else ""):
                raise RobotError(refusal)
            return self._lease.grant(time.monotonic())

    def renew(self, lease: str) -> None:
        """Records a heartbeat of the holder of `lease`."""
        with self._wake:
            self._lease.renew(lease, time.monotonic())

    def give_back(self, lease: str) -> None:
        """Ends `lease` at its holder's request; stops the robot."""
        if lease and lease == self._lease.held:
            self._begin_stop(RETURNED)

    def stop(self, reason: str) -> bool:
        """Stops the robot, ends the lease, voids every decision made so far; True when the robot is at rest.

        The stop is repeated until then, so that it cannot fall between two steps."""
        self._begin_stop(reason)
        return self._await_rest() == ""

    def hold(self, name: str, reason: str) -> None:
        """Stops the robot and refuses everything, for `reason`, until `release(name)`; does not block."""
        with self._wake:
            new = self._interlocks.hold(name, reason)
        if new:
            self._begin_stop(reason)

    def release(self, name: str) -> None:
        """Ends a hold. Nothing moves by that; decisions made in the meantime are void."""
        with self._wake:
            if self._interlocks.release(name):
                self._fresh.void(name)

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
            self._interlocks.expect(name, timeout_s)

    def beat(self, name: str) -> None:
        """Records a beat of the heartbeat `name`."""
        with self._wake:
            self._interlocks.beat(name, time.monotonic())

    def call(self, job: Callable[[], T], timeout_s: float | None = None) -> T:
        """Runs `job` in the body thread between requests (a reset, a judge) and returns its result.

        Raises what `job` raises, and RobotError when the executor is closed or does not answer in time; a job that has
        not begun by then is cancelled.
        """
        timeout_s = self.options.job_timeout_s if timeout_s is None else timeout_s
        with self._wake:
            if self._closed:
                raise RobotError("closed: the executor is closed")
            answer = self._jobs.ask(job)
            self._wake.notify_all()
        return answer_of(answer, timeout_s, self.robot.spec.name)

    def restart(self, job: Callable[[], T]) -> T:
        """Stops the robot, runs `job` in the body thread (a new episode) and voids every decision made before it."""
        self.stop(RESET)

        def begin() -> T:
            answer = job()
            self._fresh.void(RESET)
            return answer

        return self.call(begin)

    def _begin_stop(self, reason: str, keeps_lease: bool = False) -> None:
        with self._wake:
            self._stops += 1
            self._stop_reason = self._last_stop = reason
            self._awaiting = False
            self._fresh.void(reason)
            ended = "" if keeps_lease else self._lease.end(reason)
        failure = self._stop_body()
        self._on_stop(f"{reason}; {failure}" if failure else reason, ended)

    def _await_rest(self) -> str:
        """Repeats the stop until the robot is at rest or the time limit; returns the failure, empty if none."""
        deadline = time.monotonic() + self.options.stop_timeout_s
        failure = self._stop_body()
        while self._moving and time.monotonic() < deadline:
            with self._wake:
                self._wake.wait(0.02)
            failure = self._stop_body()
        return "the robot has not come to rest" if self._moving else failure

    def _stop_body(self) -> str:
        try:
            self.robot.stop()
        except Exception as error:  # whatever a driver raises, the listeners must still be notified
            return f"the robot's stop failed: {type(error).__name__}: {error}"
        finally:
            if self._watch.is_here:
                with self._wake:
                    self._interlocks.note_stop(time.monotonic())
        return ""

    def _unfit(self) -> str:
        """Reason why nothing may move now, whatever the request; empty when motion is allowed."""
        if self._closed:
            return "closed: the executor is closed"
        return self._interlocks.reason

    def _refusal(self, request: CommandRequest) -> str:
        fresh = self._fresh.refusal(request.stamp_ns, request.valid_for_s, time.monotonic())
        return self._unfit() or self._lease.refusal(request.lease) or fresh

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
                self._request, self._moving = None, False
            self.hold(CAMERA, f"{type(error).__name__}: {error}")
        finally:
            with self._wake:
                if self._busy:  # an observation does not count as work: one that blocks must be detected
                    self._busy, self._idle_since_s = False, time.monotonic()

    def _next(self) -> Callable[[], None] | None:
        """Waits for the next job: a call, the request, or an observation that is due. None at the end."""
        with self._wake:
            while not self._closed:
                now = time.monotonic()
                if self._jobs:
                    self._busy = True
                    return self._jobs.take()
                if self._request:
                    self._busy = True
                    return self._execute
                if now >= self._observe_at_s:
                    return self._observe
                self._wake.wait(self._observe_at_s - now)
        return None

    def _observe(self) -> None:
        taken, stops = time.monotonic(), self._stops
        self._observe_at_s = taken + self.options.observe_period_s
        try:
            observation = self.robot.observe()
        except Exception as error:  # a driver may raise anything; a lost camera must stop the robot, not the executor
            self.hold(CAMERA, f"camera failed: {type(error).__name__}: {error}")
            return
        with self._wake:
            if self._stops != stops:
                self._observe_at_s = 0.0  # perhaps sensed before the stop: no decision may use it
                return
            if not self._fresh.hand_out(observation.stamp_ns, taken):
                return
            self._advanced_s, self._positions = time.monotonic(), self.robot.spec.named(observation.state)
        self._on_observation(observation)
        with self._wake:
            self._interlocks.release(CAMERA)  # released once listeners have the observation

    def _execute(self) -> None:
        with self._wake:
            request = self._request
            assert request is not None  # checked by `_next`
            stops, refusal = self._stops, self._refusal(request)  # checked again: time has passed since it was accepted
            allowed = limit(request.command, self.robot.spec, self._positions)
            if not refusal and not allowed.refused and self.options.shadow and not isinstance(request.command, Done):
                refusal = "shadow: nothing is sent to the robot"
            allowed = replace(allowed, refused=refusal) if refusal else allowed
            if not allowed.refused:
                self._fresh.use(request.stamp_ns)
                self._moving, self._awaiting = True, not isinstance(request.command, Done)
                self._counts["started"] += 1
                self._stop_reason, self._moving_since_s = "", time.monotonic()
        began_ns = time.monotonic_ns()
        sent = allowed if allowed.refused else self._move(allowed)
        with self._wake:
            self._request, self._moving, self._observe_at_s = None, False, 0.0
            stopped = self._stop_reason if self._stops != stops else ""
            self._wake.notify_all()
        self._finish(request, sent, stopped, began_ns)

    def _move(self, allowed: Sent) -> Sent:
        try:
            sent = self.robot.execute(allowed.command)
        except (
            Exception
        ) as error:  # a driver may raise anything; a motion not known to have succeeded counts as blocked
            sent = Sent(allowed.command, blocked=f"{type(error).__name__}: {error}")
            self._stop_body()
        return replace(sent, clipped=tuple(dict.fromkeys((*allowed.clipped, *sent.clipped))))

    def _finish(self, request: CommandRequest, sent: Sent, stopped: str = "", began_ns: int | None = None) -> None:
        ended_ns = time.monotonic_ns()
        checked_ns = ended_ns if began_ns is None else began_ns
        with self._wake:
            self._counts["refused" if sent.refused else "blocked" if sent.blocked else "executed"] += 1
            age = self._fresh.age_s(request.stamp_ns, checked_ns / 1e9)
            after = request.stamp_ns if sent.refused else self._fresh.latest_ns
            if sent.refused:
                stopped = self._unfit() or self._lease.refusal(request.lease) or self._fresh.voided(request.stamp_ns)
        began_ns, duration_s = (-1, 0.0) if sent.refused else (checked_ns, (ended_ns - checked_ns) / 1e9)
        self._on_result(CommandResult(request.stamp_ns, sent, stopped, after, age, began_ns, duration_s, request.lease))

    def _check(self) -> None:
        """Stops the robot on a motion that takes too long, frozen cameras, ceased requests, or an interlock."""
        period = self.options.control_period_s
        health = ask(self.robot)
        with self._wake:
            if self._closed:  # its robot is being disconnected
                return
            stops, released = self._interlocks.update(time.monotonic(), time.time(), health)
            silence = self._lease.silence(time.monotonic())
            for name in released:
                self._fresh.void(name)
        for reason in (*stops, silence) if silence else stops:
            self._begin_stop(reason)
        if self._moving and self._stop_reason:
            self._stop_body()  # again, until it is at rest
        with self._wake:
            if self._closed:
                return
            lasted = time.monotonic() - self._moving_since_s if self._moving else 0.0
            busy = self._busy
            quiet = time.monotonic() - self._idle_since_s if self._awaiting else 0.0
            unseen = time.monotonic() - max(self._idle_since_s, self._advanced_s)
        if lasted > self.options.longest_motion_s:
            self.hold(CAMERA, f"the motion took longer than {self.options.longest_motion_s} s")
        elif busy:
            return
        elif unseen > self.options.frozen_periods * period:
            self.hold(CAMERA, f"camera frozen: no new observation for {unseen:.2f} s")
        elif quiet > self.options.silence_periods * period:
            self.stop(f"no fresh order for {quiet:.2f} s")
