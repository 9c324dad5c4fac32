"""Compares ways to pass from one chunk to the next: the motion of least jerk that the arms use, jerk-limited motion
from state to state (ruckig), blending over the overlap, and naive switching.

    pip install ruckig==0.19.4    # MIT
    python -m benchmarks.arms.join_methods

No robot: a policy foresees a smooth path of one joint, each chunk with an error of its own that fades in (as flow and
autoregressive policies do), and the trajectories as commanded are compared. One line for each rate.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import tyro
from ruckig import InputParameter, Result, Ruckig
from ruckig import Trajectory as RuckigTrajectory

from robots.arms.join import KEPT_S, MAX_JOIN_S, MIN_JOIN_S, POINT_S, Apart, follow_on, join, rounding_s, switched
from robots.arms.trajectory import F64, Trajectory, through

JERK_PER_ACCELERATION = 10.0
"""Jerk limit, as a multiple of the acceleration limit [1/s]: full acceleration after 0.1 s."""

SPEED, ACCELERATION = 3.0, 5.0
"""Those of the Piper [rad/s], [rad/s^2]."""

Join = Callable[[Trajectory, Trajectory, float, float], tuple[Trajectory, float]]


@dataclass(frozen=True)
class Benchmark:
    """Compares the ways."""

    rates_hz: tuple[float, ...] = (5.0, 10.0, 20.0, 30.0)
    chunks: int = 400
    error_rad: float = 0.03
    """Standard deviation of a chunk's own error at its end."""
    speed_radps: float = 0.6
    """Peak speed of the path."""
    delay_s: tuple[float, float] = (0.03, 0.15)
    """Of inference, drawn evenly."""
    seed: int = 0


def main() -> None:
    """Prints the table."""
    args = tyro.cli(Benchmark, description=__doc__)
    print(
        "| rate [Hz] | way | refused | jump in position, max [rad] | in velocity, max [rad/s] | acceleration p99, max"
        " [rad/s2] | jerk p99 [rad/s3] | off the path, rms [rad] | off the newest chunk, rms | computing p50 [us] |"
    )
    print("|" + "---|" * 10)
    ways = (("least jerk", least_jerk), ("ruckig", jerk_limited), ("blend", blend), ("naive", naive))
    for rate_hz in args.rates_hz:
        for name, way in ways:
            print(f"| {rate_hz:g} | {name} | {line(args, rate_hz, way)} |", flush=True)


def least_jerk(running: Trajectory, following: Trajectory, sensed_s: float, at_s: float) -> tuple[Trajectory, float]:
    """The way of `robots.arms.join`."""
    return join(running, following, sensed_s, at_s, [SPEED], ACCELERATION)


def blend(running: Trajectory, following: Trajectory, sensed_s: float, at_s: float) -> tuple[Trajectory, float]:
    """Passes from one to the other by a weight without slope or bend at its ends, as slowly as the gap asks for."""
    p, v = (running.held(np.array([at_s]))[k] - following.held(np.array([at_s - sensed_s]))[k] for k in (0, 1))
    gap, change = float(np.abs(p).max()), float(np.abs(v).max())
    window_s = max(MIN_JOIN_S, (5.7735 * gap / ACCELERATION) ** 0.5, 3.75 * change / ACCELERATION)
    window_s = min(window_s, MAX_JOIN_S, sensed_s + following.duration_s - at_s)
    share = np.linspace(0.0, 1.0, max(6, int(window_s / POINT_S) + 1))[:, None]
    weight, rate = share**3 * (10.0 - 15.0 * share + 6.0 * share**2), 30.0 * share**2 * (1.0 - share) ** 2 / window_s
    times = at_s + window_s * share[:, 0]
    (old, old_v), (new, new_v) = running.held(times), following.held(times - sensed_s)
    path = Trajectory(times - at_s, old + weight * (new - old), old_v + weight * (new_v - old_v) + rate * (new - old))
    rest = (following.times_s + sensed_s)[following.times_s + sensed_s > at_s + window_s + 1e-6]
    return _spliced(running, path, following, sensed_s, at_s, rest)


def naive(running: Trajectory, following: Trajectory, sensed_s: float, at_s: float) -> tuple[Trajectory, float]:
    """The next chunk's rows from its first one on, from the moment it came; nothing is joined."""
    begins_s = max(0.0, at_s - KEPT_S)
    times = np.append(0.0, 1e-6 + following.times_s)
    (p, v), (q, w) = running.sample(at_s), following.held(following.times_s)
    return switched(running, Trajectory(times, np.vstack([p, q]), np.vstack([v, w])), at_s, begins_s), begins_s


def jerk_limited(running: Trajectory, following: Trajectory, sensed_s: float, at_s: float) -> tuple[Trajectory, float]:
    """The quickest jerk-limited motion, in a window as short as the limits allow, to where the next chunk is then."""
    window_s = MIN_JOIN_S
    while window_s <= MAX_JOIN_S and at_s + window_s <= sensed_s + following.duration_s:
        path = _state_to_state(running, following, sensed_s, at_s, window_s)
        if path is not None:
            ours = np.linspace(0.0, window_s, max(6, int(window_s / POINT_S) + 1))
            states = [path.at_time(float(at))[:2] for at in ours]
            sampled = Trajectory(ours, np.array([p for p, _ in states]), np.array([v for _, v in states]))
            rest = (following.times_s + sensed_s)[following.times_s + sensed_s > at_s + window_s + 1e-6]
            return _spliced(running, sampled, following, sensed_s, at_s, rest)
        window_s *= 1.3
    raise Apart("no jerk-limited join")


def _state_to_state(
    running: Trajectory, following: Trajectory, sensed_s: float, at_s: float, window_s: float
) -> RuckigTrajectory | None:
    size = running.positions.shape[1]
    asked = InputParameter(size)
    (p0, v0), (p1, v1) = running.sample(at_s), following.sample(at_s + window_s - sensed_s)
    asked.current_position, asked.current_velocity = p0.tolist(), v0.tolist()
    asked.current_acceleration = running.acceleration(at_s).tolist()
    asked.target_position, asked.target_velocity = p1.tolist(), v1.tolist()
    asked.target_acceleration = np.clip(
        following.acceleration(at_s + window_s - sensed_s), -ACCELERATION, ACCELERATION
    ).tolist()
    asked.max_velocity, asked.max_acceleration = [SPEED] * size, [2 * ACCELERATION] * size
    asked.max_jerk = [2 * JERK_PER_ACCELERATION * ACCELERATION] * size
    asked.minimum_duration = window_s
    path = RuckigTrajectory(size)
    if Ruckig(size).calculate(asked, path) is not Result.Working or path.duration > window_s + 1e-4:
        return None
    return path


def _spliced(
    running: Trajectory, path: Trajectory, following: Trajectory, sensed_s: float, at_s: float, rest_s: F64
) -> tuple[Trajectory, float]:
    places, speeds = following.held(rest_s - sensed_s)
    times = np.append(path.times_s, rest_s - at_s)
    later = Trajectory(times, np.vstack([path.positions, places]), np.vstack([path.velocities, speeds]))
    begins_s = max(0.0, at_s - KEPT_S)
    return switched(running, later, at_s, begins_s), begins_s


def ideal(at_s: npt.ArrayLike, speed: float) -> F64:
    """The path that the policy foresees [rad]."""
    t = np.asarray(at_s, dtype=np.float64)
    return np.asarray(speed / 2 * np.sin(t) + speed / 6 * np.sin(3.0 * t))


def line(args: Benchmark, rate_hz: float, way: Join) -> str:
    """One line of the table."""
    rng, period_s, rows = np.random.default_rng(args.seed), 1.0 / rate_hz, 16
    first = ideal(period_s * np.arange(1, rows + 1), args.speed_radps)[:, None]
    running = through([0.0], first, period_s, [SPEED])
    clock_s, done_p, off_path, off_chunk, took, refused = 0.0, [], [], [], [], 0
    count = round(8 * period_s / 0.001)
    tick = 8 * period_s * np.arange(count) / count
    observed_s = 0.0
    for _ in range(args.chunks):
        step_s = 8 * period_s
        observed_s = observed_s + step_s
        delay_s = float(rng.uniform(*args.delay_s))
        error = rng.normal(0.0, args.error_rad) * np.linspace(0.2, 1.0, rows)
        asked = ideal(clock_s + observed_s + period_s * np.arange(1, rows + 1), args.speed_radps) + error
        base = running.at(observed_s + rounding_s(period_s) / 2)
        following = follow_on(base, running.sample(observed_s)[1], asked[:, None], period_s)
        began = time.perf_counter()
        try:
            running, begins_s = way(running, following, observed_s, observed_s + delay_s)
        except Apart:
            refused, begins_s = refused + 1, 0.0
        took.append(time.perf_counter() - began)
        clock_s, observed_s = clock_s + begins_s, observed_s - begins_s
        run = running.held(observed_s + tick)[0][:, 0]
        done_p.append(run)
        off_path.append(run - ideal(clock_s + observed_s + tick - min(0.1, period_s) / 2, args.speed_radps))
        off_chunk.append(run[300:] - following.held(tick[300:])[0][:, 0] if len(tick) > 300 else run[:0])
    return _figures(np.concatenate(done_p), off_path, off_chunk, took, refused, 8 * period_s / count)


def _figures(path: F64, off_path: list[F64], off_chunk: list[F64], took: list[float], refused: int, dt: float) -> str:
    v = np.diff(path) / dt
    a = np.diff(v) / dt
    smooth = np.convolve(a, np.ones(10) / 10, "valid")
    jerk = np.diff(smooth[::10]) / (10 * dt)
    off, near = np.concatenate(off_path), np.concatenate(off_chunk)
    figures = (
        f"{refused}",
        f"{np.abs(np.diff(path)).max():.4f}",
        f"{np.abs(np.diff(v)).max():.3f}",
        f"{np.percentile(np.abs(smooth), 99):.1f}, {np.abs(smooth).max():.1f}",
        f"{np.percentile(np.abs(jerk), 99):.0f}",
        f"{np.sqrt(np.mean(off**2)):.4f}",
        f"{np.sqrt(np.mean(near**2)) if len(near) else np.nan:.4f}",
        f"{1e6 * np.median(took):.0f}",
    )
    return " | ".join(figures)


if __name__ == "__main__":
    main()
