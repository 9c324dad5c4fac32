"""How the executor judges time, and what else keeps a body from moving."""

from __future__ import annotations

from dataclasses import dataclass, field

from robots.execution.guard import GuardOptions


@dataclass(frozen=True)
class ExecutorOptions:
    """How the executor judges time.

    Attributes:
        control_period_s: the time one decision is given.
        observe_period_s: how often it observes while nothing moves; it also observes right after every order.
        silence_periods: control periods without an order, after the last one ended, until the body is stopped; below 2,
            so that a body whose policy died stands within two control periods.
        frozen_periods: control periods without an observation that advances until the cameras count as frozen.
        max_age_periods: control periods after which a decision is stale, however long it says it is valid.
        longest_motion_s: how long the body may take for one order until it is stopped; the longest steps of the bodies
            here take about a second.
        job_timeout_s: how long `call` waits; building and compiling a twin's house is the longest job.
        stop_timeout_s: how long `stop` waits for the body to stand.
        heartbeat_timeout_s: how long whoever holds the lease may be silent until it ends; None where that is this
            process.
        shadow: judge every order as always and send nothing to the body, saying so.
        guard: what else keeps the body from moving.
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
    guard: GuardOptions = field(default_factory=GuardOptions)
