"""Success against delay: what the evaluations of one policy with different latency say together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from evaluation.plans.latency import LatencySettings
from evaluation.reporting.results import Key, Results, difference, evaluations_of_one_policy
from evaluation.statistics.estimate import Estimate

MARGIN = 0.1
"""A delay is tolerated where success is at most this much lower than without, with 95 % confidence."""

WIDE, HIGH = 480.0, 160.0
"""Size of the drawing, without its labels [SVG units]."""


@dataclass(frozen=True)
class DelayPoint:
    """Success at one delay, and its difference to the smallest one over the trials in common."""

    latency: LatencySettings
    success: Estimate
    difference: Estimate


@dataclass(frozen=True)
class DelayCurve:
    """One policy at one task on one robot, by rising delay.

    Attributes:
        policy: its name.
        robot: of the trials.
        task: of the trials.
        bundle_sha256: of the policy; empty for the expert.
        points: at least two.
    """

    policy: str
    robot: str
    task: str
    bundle_sha256: str
    points: tuple[DelayPoint, ...]

    @property
    def tolerated_s(self) -> float | None:
        """Largest delay up to which every one is tolerated, see `MARGIN` [s]; None where there are too few trials."""
        tolerated = None
        for point in self.points:
            if point.difference.low < -MARGIN:
                break
            tolerated = point.latency.delay_s
        return tolerated

    def sentence(self) -> str:
        """What the curve says, in one sentence."""
        who = f"{self.policy}, {self.task} on {self.robot}"
        if self.tolerated_s is None or self.tolerated_s == self.points[0].latency.delay_s:
            n = min(point.success.n for point in self.points)
            return f"{who}: no delay is shown to be tolerated with {n} trials at each"
        last = " (the longest tried)" if self.tolerated_s == self.points[-1].latency.delay_s else ""
        limit = f"success at most {100 * MARGIN:.0f} points lower than at {_ms(self.points[0])}, with 95 % confidence"
        return f"{who}: tolerates {1000 * self.tolerated_s:.0f} ms{last} ({limit})"


def delay_curves(results: Results) -> tuple[DelayCurve, ...]:
    """Returns a curve for each policy that was evaluated with more than one latency, on the unperturbed twin."""
    curves = []
    for keys in evaluations_of_one_policy(results):
        plain = [key for key in keys if not results.plans[key.plan].perturb]
        if len({results.plans[key.plan].latency.delay_s for key in plain}) > 1:
            curves.append(_curve(plain, results))
    return tuple(curves)


def _curve(keys: Sequence[Key], results: Results) -> DelayCurve:
    rows = {row.key: row for row in results.rows}
    ordered = sorted(keys, key=lambda key: results.plans[key.plan].latency.delay_s)
    first = results.episodes[ordered[0]]
    points = [
        DelayPoint(results.plans[key.plan].latency, rows[key].success, difference(results.episodes[key], first))
        for key in ordered
    ]
    key = ordered[0]
    return DelayCurve(key.policy, key.robot, key.task, rows[key].bundle_sha256, tuple(points))


def delay_svg(curve: DelayCurve) -> Markup:
    """Draws success with its 95 % interval over the delay."""
    longest = max(point.latency.delay_s for point in curve.points)
    at = [(WIDE * point.latency.delay_s / longest, point) for point in curve.points]
    ranges = "".join(
        f'<line class="range" x1="{x:.1f}" x2="{x:.1f}" y1="{_y(p.success.low):.1f}" y2="{_y(p.success.high):.1f}"/>'
        f'<circle cx="{x:.1f}" cy="{_y(p.success.value):.1f}" r="4"/>'
        f'<text x="{x:.1f}" y="{HIGH + 16:.0f}" text-anchor="middle">{_ms(p)}</text>'
        for x, p in at
    )
    line = " ".join(f"{x:.1f},{_y(p.success.value):.1f}" for x, p in at)
    levels = "".join(
        f'<line class="axis" x1="0" x2="{WIDE:.0f}" y1="{_y(v):.1f}" y2="{_y(v):.1f}"/>'
        f'<text x="-8" y="{_y(v) + 4:.1f}" text-anchor="end">{100 * v:.0f} %</text>'
        for v in (0.0, 0.5, 1.0)
    )
    drawn = Markup('<svg class="delay" viewBox="-50 -10 {} {}" role="img" aria-label="{}">').format(
        f"{WIDE + 90:.0f}", f"{HIGH + 34:.0f}", curve.sentence()
    )
    return drawn + Markup(f'{levels}<polyline points="{line}"/>{ranges}</svg>')


def _y(value: float) -> float:
    return HIGH * (1.0 - (0.0 if value != value else value))


def _ms(point: DelayPoint) -> str:
    return f"{1000 * point.latency.delay_s:g} ms"
