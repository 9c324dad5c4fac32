"""What came of planted faults, as a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any


@dataclass(frozen=True)
class Tried:
    """One planted fault.

    Attributes:
        body: on what.
        fault: which.
        stood_s: from the fault to the body's last movement; 0 when it did not move any more.
        way: how far it went after the fault, in `unit`.
        began: motions that began later than two control periods after the fault, those after it was taken back among
            them. Sooner than that a frozen camera may not have been noticed.
        reason: that the robot node, or the policy node, told.
        unit: "m" or "rad".
    """

    body: str
    fault: str
    stood_s: float
    way: float
    began: int
    reason: str
    unit: str = "m"

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)


def table(tried: Sequence[Tried], bodies: Sequence[str], faults: Sequence[str]) -> str:
    """One Markdown table a body: time to stop p50 and max, way max, motions begun after it, the reason told."""
    return "\n\n".join(_of_body([one for one in tried if one.body == body], body, faults) for body in bodies)


def summary(tried: Sequence[Tried], limit_s: float) -> str:
    """How many tries there were, and which of them did not meet the target."""
    late = [one for one in tried if one.stood_s > limit_s]
    begun = [one for one in tried if one.began]
    lines = [
        f"{len(tried)} tries; {len(late)} stood later than {limit_s} s, {len(begun)} began a motion later than that"
    ]
    lines += [f"- {one.body}, {one.fault}: stood after {one.stood_s:.2f} s" for one in late]
    lines += [f"- {one.body}, {one.fault}: {one.began} motions began" for one in begun]
    return "\n".join(lines)


def _of_body(tried: Sequence[Tried], body: str, faults: Sequence[str]) -> str:
    unit = tried[0].unit if tried else "m"
    lines = [
        f"**{body}**\n",
        f"| fault | tries | stood after, p50 [s] | max [s] | way, max [{unit}] | begun later | reason told |",
        "|---|---|---|---|---|---|---|",
    ]
    for fault in faults:
        these = [one for one in tried if one.fault == fault]
        if not these:
            continue
        stood, way = [one.stood_s for one in these], max(one.way for one in these)
        begun, reason = sum(one.began for one in these), these[0].reason
        lines.append(
            f"| {fault} | {len(these)} | {median(stood):.2f} | {max(stood):.2f} | {way:.3f} | {begun} | {reason} |"
        )
    return "\n".join(lines)
