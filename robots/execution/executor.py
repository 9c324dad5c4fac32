"""The one executor: on the robot's side, whatever the body, between decisions and motion.

A body moves only on a fresh decision of whoever holds the lease. The executor refuses by name what is stale, unknown,
replayed, not finite, beyond the limits, or comes while another order runs, and keeps no backlog. It stops the body, and
says why, when orders cease, when cameras freeze, on every hold (runstop, lost heartbeat, the body's own fault:
`robots.execution.guard`), on every way out. Every stop but a Stop that is ordered under the lease ends the lease.

Two threads: the body thread is the only one that observes and moves (a renderer's or a driver's handles belong to one
thread); the watch thread looks after time. `stop()` may be called from any thread.
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
from robots.execution.freshness import Freshness
from robots.execution.guard import CAMERA, CLOSED, RUNSTOP, WATCH, Guard, ask
from robots.execution.jobs import Jobs, answer_of
from robots.execution.lease import Lease
from robots.execution.listeners import Listener, StopListener, guarded, ignore
from robots.execution.options import ExecutorOptions
from robots.execution.orders import Order, Result, Status
from robots.execution.watch import Watch
from robots.limits import limit
from robots.robot import Robot, Sent

__all__ = ["RESET", "Executor", "ExecutorOptions"]

T = TypeVar("T")
RESET = "reset"  # reason of the stop before a new episode


class Executor:
    """Runs a body: hands out its observations and executes fresh orders, one at a time.

    Args:
        robot: the body; connected and disconnected by the executor, in the body thread.
        on_observation: called with every new Observation, from the body thread.
        on_result: called with the Result of every order, from the thread that ended it.
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
        self._order: Order | None = None
        self._busy = self._moving = self._awaiting = self._closed = False
        self._guard = Guard(self.options.guard)
        self._stop_reason = self._last_stop = ""
        self._stops = 0
        self._counts: Counter[str] = Counter()
        self._positions: dict[str, float] = {}
        self._idle_since_s = self._advanced_s = self._observe_at_s = self._moving_since_s = time.monotonic()
        self._body = threading.Thread(target=self._run, name="body", daemon=True)
        self._watch = Watch(self._look, self.options.control_period_s / 20, partial(self.hold, WATCH))

    def start(self, *prepare: Callable[[], object]) -> None:
        """Connects the body and runs `prepare` in the body thread; then observing begins. Raises what they raise."""

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
        """Stops the body, disconnects it and ends the threads; also called twice."""
        if self._closed:
            return
        with self._wake:
            self._guard.hold(CLOSED, f"closed: {reason}")  # no order slips in between the stop and the end
        self.stop(reason)
        with self._wake:
            self._closed = True
            self._wake.notify_all()
        self._watch.end()
        if self._body.ident is not None:
            self._body.join(self.options.stop_timeout_s)
        with self._wake:
            self._jobs.drop()  # also those of a body that hangs

    def __enter__(self) -> Executor:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close("the executor was closed" if kind is None else f"{kind.__name__}: {error}")

    @property
    def status(self) -> Status:
        """How it stands now."""
        with self._wake:
            reason = self._guard.reason
            held = "runstop" if RUNSTOP in self._guard.holds else "held" if reason else ""
            state = held or ("moving" if self._moving else "idle")
            age = None if self._fresh.latest_ns < 0 else time.monotonic() - self._advanced_s
            return Status("closed" if self._closed else state, reason, self._last_stop, dict(self._counts), age)

    def submit(self, order: Order) -> None:
        """Takes an order or refuses it; waits for no motion, save that Stop waits until the body stands.

        Its Result always reaches `on_result`.
        """
        if isinstance(order.command, Stop):
            self._begin_stop("stop command", keeps_lease=order.lease == self._lease.held)
            stands = self._await_stand() == ""
            self._finish(order, Sent(order.command, blocked="" if stands else "the body has not come to a stand"))
            return
        with self._wake:
            refusal = "busy: another order is running" if self._order else self._refusal(order)
            if not refusal:
                self._order = order
                self._wake.notify_all()
                return
        self._finish(order, Sent(order.command, refused=refusal))

    def begin(self) -> str:
        """Hands out the lease that every order must carry from now on; whoever takes it must `renew` it.

        Raises RobotError, whose first word is the reason, while somebody else holds it or nothing may move.
        """
        with self._wake:
            busy = self._lease.held or self._moving or self._order
            if refusal := self._unfit() or ("busy: somebody drives the robot" if busy else ""):
                raise RobotError(refusal)
            return self._lease.grant(time.monotonic())

    def renew(self, lease: str) -> None:
        """A heartbeat of whoever holds `lease`."""
        with self._wake:
            self._lease.renew(lease, time.monotonic())

    def give_back(self, lease: str) -> None:
        """Whoever holds `lease` needs it no more; the body is stopped."""
        if lease and lease == self._lease.held:
            self._begin_stop("the lease was given back")

    def stop(self, reason: str) -> bool:
        """Stops the body now, ends the lease, voids every decision made so far, and returns whether the body stands.

        Stopping is repeated until it does, so that a stop cannot fall between two steps."""
        self._begin_stop(reason)
        return self._await_stand() == ""

    def hold(self, name: str, reason: str) -> None:
        """Stops the body and refuses everything, for `reason`, until `release(name)`; waits for nothing."""
        with self._wake:
            new = self._guard.hold(name, reason)
        if new:
            self._begin_stop(reason)

    def release(self, name: str) -> None:
        """Ends a hold. That moves nothing, and voids what was decided meanwhile."""
        with self._wake:
            if self._guard.release(name):
                self._fresh.void(name)

    def runstop(self, on: bool) -> bool:
        """Sets or clears the latched emergency stop; returns whether the body stands, or the latch is clear."""
        if not on:
            self.release(RUNSTOP)
            return True
        self.hold(RUNSTOP, "runstop: the runstop is on")
        return self._await_stand() == ""

    def expect(self, name: str, timeout_s: float) -> None:
        """From now on `beat(name)` must be called at least every `timeout_s`; see `robots.execution.guard.Pulse`."""
        with self._wake:
            self._guard.expect(name, timeout_s)

    def beat(self, name: str) -> None:
        """A pulse was heard."""
        with self._wake:
            self._guard.beat(name, time.monotonic())

    def call(self, job: Callable[[], T], timeout_s: float | None = None) -> T:
        """Runs `job` in the body thread between orders (a reset, a judge) and returns what it returns.

        Raises what `job` raises, and RobotError when the executor is closed or gives no answer in time; a job that has
        not begun by then never will.
        """
        timeout_s = self.options.job_timeout_s if timeout_s is None else timeout_s
        with self._wake:
            if self._closed:
                raise RobotError("closed: the executor is closed")
            answer = self._jobs.ask(job)
            self._wake.notify_all()
        return answer_of(answer, timeout_s, self.robot.spec.name)

    def restart(self, job: Callable[[], T]) -> T:
        """Stops the body, runs `job` in the body thread (a new episode) and voids every decision made before it."""
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

    def _await_stand(self) -> str:
        """Repeats the stop until the body stands or time is over; returns why it does not, or nothing."""
        deadline = time.monotonic() + self.options.stop_timeout_s
        failure = self._stop_body()
        while self._moving and time.monotonic() < deadline:
            with self._wake:
                self._wake.wait(0.02)
            failure = self._stop_body()
        return "the body has not come to a stand" if self._moving else failure

    def _stop_body(self) -> str:
        try:
            self.robot.stop()
        except Exception as error:  # whatever a driver raises, the others in this process must still be told
            return f"the body's stop failed: {type(error).__name__}: {error}"
        finally:
            if self._watch.is_here:
                with self._wake:
                    self._guard.looked(time.monotonic())
        return ""

    def _unfit(self) -> str:
        """Why nothing may move now, whatever is asked."""
        if self._closed:
            return "closed: the executor is closed"
        return self._guard.reason

    def _refusal(self, order: Order) -> str:
        fresh = self._fresh.refusal(order.stamp_ns, order.valid_for_s, time.monotonic())
        return self._unfit() or self._lease.refusal(order.lease) or fresh

    def _run(self) -> None:
        try:
            while (job := self._next()) is not None:
                self._do(job)
        finally:
            with self._wake:
                self._jobs.drop()
            self.robot.disconnect()

    def _do(self, job: Callable[[], None]) -> None:
        """A listener may raise anything; the thread that moves the body must outlive it, with the body stopped."""
        try:
            job()
        except Exception as error:
            if job == self._execute:
                self._order, self._moving = None, False
            self.hold(CAMERA, f"{type(error).__name__}: {error}")
        finally:
            with self._wake:
                if self._busy:  # an observation does not count as work: one that blocks must be noticed
                    self._busy, self._idle_since_s = False, time.monotonic()

    def _next(self) -> Callable[[], None] | None:
        """Waits for the body's next job: an asked one, the order, or an observation that is due. None at the end."""
        with self._wake:
            while not self._closed:
                now = time.monotonic()
                if self._jobs:
                    self._busy = True
                    return self._jobs.take()
                if self._order:
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
        except Exception as error:  # a driver may raise anything; no camera is no reason to die, but one to stop
            self.hold(CAMERA, f"camera failed: {type(error).__name__}: {error}")
            return
        with self._wake:
            if self._stops != stops:
                self._observe_at_s = 0.0  # sensed before the stop, perhaps: nobody may decide from it
                return
            if not self._fresh.hand_out(observation.stamp_ns, taken):
                return
            self._advanced_s, self._positions = time.monotonic(), self.robot.spec.named(observation.state)
        self._on_observation(observation)
        with self._wake:
            self._guard.release(CAMERA)  # seen and told

    def _execute(self) -> None:
        with self._wake:
            order = self._order
            assert order is not None  # `_next` looked
            stops, refusal = self._stops, self._refusal(order)  # asked again: time has passed since it was taken
            allowed = limit(order.command, self.robot.spec, self._positions)
            if not refusal and not allowed.refused and self.options.shadow and not isinstance(order.command, Done):
                refusal = "shadow: nothing is sent to the body"
            allowed = replace(allowed, refused=refusal) if refusal else allowed
            if not allowed.refused:
                self._fresh.use(order.stamp_ns)
                self._moving, self._awaiting = True, not isinstance(order.command, Done)
                self._counts["started"] += 1
                self._stop_reason, self._moving_since_s = "", time.monotonic()
        began_ns = time.monotonic_ns()
        sent = allowed if allowed.refused else self._move(allowed)
        with self._wake:
            self._order, self._moving, self._observe_at_s = None, False, 0.0
            stopped = self._stop_reason if self._stops != stops else ""
            self._wake.notify_all()
        self._finish(order, sent, stopped, began_ns)

    def _move(self, allowed: Sent) -> Sent:
        try:
            sent = self.robot.execute(allowed.command)
        except Exception as error:  # a driver may raise anything; what is not known to have worked counts as blocked
            sent = Sent(allowed.command, blocked=f"{type(error).__name__}: {error}")
            self._stop_body()
        return replace(sent, clipped=tuple(dict.fromkeys((*allowed.clipped, *sent.clipped))))

    def _finish(self, order: Order, sent: Sent, stopped: str = "", began_ns: int | None = None) -> None:
        ended_ns = time.monotonic_ns()
        judged_ns = ended_ns if began_ns is None else began_ns
        with self._wake:
            self._counts["refused" if sent.refused else "blocked" if sent.blocked else "executed"] += 1
            age = self._fresh.age_s(order.stamp_ns, judged_ns / 1e9)
            after = order.stamp_ns if sent.refused else self._fresh.latest_ns
            if sent.refused:
                stopped = self._unfit() or self._lease.refusal(order.lease) or self._fresh.voided(order.stamp_ns)
        began_ns, duration_s = (-1, 0.0) if sent.refused else (judged_ns, (ended_ns - judged_ns) / 1e9)
        self._on_result(Result(order.stamp_ns, sent, stopped, after, age, began_ns, duration_s, order.lease))

    def _look(self) -> None:
        """Stops the body when it takes too long, its cameras froze, orders ceased, or its guard says so."""
        period = self.options.control_period_s
        health = ask(self.robot)
        with self._wake:
            stops, released = self._guard.look(time.monotonic(), time.time(), health)
            silence = self._lease.silence(time.monotonic())
            for name in released:
                self._fresh.void(name)
        for reason in (*stops, silence) if silence else stops:
            self._begin_stop(reason)
        if self._moving and self._stop_reason:
            self._stop_body()  # again, until it stands
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
