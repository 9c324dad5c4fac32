"""Timing and interlock options of the executor."""

from __future__ import annotations

from dataclasses import dataclass, field

from robots.execution.interlocks import InterlockOptions


@dataclass(frozen=True)
class ExecutorOptions:
    """Timing and interlock options of the executor.

    Attributes:
        control_period_s: time budget of one decision.
        observe_period_s: period of observations while nothing moves; every motion is also followed by one.
        silence_periods: control periods without a request, after the last one ended, until the robot is stopped; below
            2, so that a robot whose policy died is at rest within two control periods.
        frozen_periods: control periods without an observation that advances until the cameras count as frozen.
        max_age_periods: control periods after which a decision is stale, whatever validity it claims.
        longest_motion_s: time limit of one motion, after which the robot is stopped; the longest steps of the robots
            here take about a second.
        job_timeout_s: timeout of `call`; building and compiling a twin's house is the longest job.
        stop_timeout_s: time limit within which a stopped robot must be at rest.
        heartbeat_timeout_s: the lease ends when its holder is silent for longer; None when the holder is this
            process.
        shadow: check every request as always, refuse it with the reason "shadow", and send no motion.
        interlocks: thresholds of the interlocks.
    """

    control_period_s: float = 0.5
    observe_period_s: float = 0.2
    silence_periods: float = 1.5
    frozen_periods: float = 1.5
    max_age_periods: float = 2.0
    longest_motion_s: float = 10.0
    job_timeout_s: float = 120.0
    stop_timeout_s: float = 3.0
    heartbeat_timeout_s: float | None = None
    shadow: bool = False
    interlocks: InterlockOptions = field(default_factory=InterlockOptions)
