"""What came of planted faults, as tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from statistics import median
from typing import Any

MOVED = 0.005
"""Less than that [m] or [rad] after what failed is back is how a robot settles, not a motion."""


@dataclass(frozen=True)
class Tried:
    """One planted fault.

    Attributes:
        body: on what.
        fault: which.
        stood_s: from the fault (of a launch that nobody reads: from the e-stop) to the robot's last movement before it
            was taken back; 0 when it did not move any more.
        way: how far it went meanwhile, in `unit`.
        began: motions that began later than two control periods after the fault, those after it was taken back among
            them. Sooner than that a frozen camera may not have been noticed.
        reason: that the robot node, or the policy node, reported.
        unit: "m" or "rad".
        back_stood_s: from when the fault was taken back to the last movement in `watched_s`.
        back_way: how far the robot went in that time.
        back_began: motions that began in that time.
        watched_s: how long that was.
        trouble: whatever else is not as it must be; empty: nothing.
        load: of the machine, when it was planted.
    """

    body: str
    fault: str
    stood_s: float
    way: float
    began: int
    reason: str
    unit: str = "m"
    back_stood_s: float = 0.0
    back_way: float = 0.0
    back_began: int = 0
    watched_s: float = 0.0
    trouble: str = ""
    load: float = 0.0

    @property
    def moved_after(self) -> bool:
        """Whether anything moved after what failed was back."""
        return self.back_began > 0 or self.back_way > MOVED

    def with_trouble(self, *troubles: str) -> Tried:
        """The same, with these troubles."""
        return replace(self, trouble="; ".join(one for one in (self.trouble, *troubles) if one))

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)


TITLES = {
    "stretch_re1": "Stretch, stretch_body",
    "stretch_re1_ros2": "Stretch, ROS 2 driver",
    "stretch_re1_twin": "Stretch twin",
    "locobot_pyrobot": "LoCoBot, PyRobot",
    "locobot_interbotix": "LoCoBot, Interbotix",
    "locobot_twin": "LoCoBot twin",
    "piper": "Piper",
    "piper_twin": "Piper twin",
    "ros2_control_arm": "UR5e",
}
HEADS = ("fault", "tries", "stood after, p50 [s]", "max [s]", "way, max", "begun later")
BACK_HEADS = ("tries that moved after", "motions after", "moved until, max [s]", "way after, max", "trouble", "reason")


def table(tried: Sequence[Tried], bodies: Sequence[str], faults: Sequence[str]) -> str:
    """One Markdown table a robot: time to stop, way, and what moved after what failed was back; then all in one."""
    found = [(body, [one for one in tried if one.body == body]) for body in bodies]
    return "\n\n".join([_of_body(these, body, faults) for body, these in found if these] + [matrix(tried, faults)])


def matrix(tried: Sequence[Tried], faults: Sequence[str]) -> str:
    """One Markdown table, a column a robot: time to stop p50, max; longest way; longest way after it was back."""
    bodies = list(dict.fromkeys(one.body for one in tried))
    lines = [_row(("fault", *bodies)), _row(["---"] * (1 + len(bodies)))]
    for fault in faults:
        cells = [_cell([one for one in tried if (one.body, one.fault) == (body, fault)]) for body in bodies]
        if any(cell != "-" for cell in cells):
            lines.append(_row((fault, *cells)))
    return "\n".join(lines)


def overview(tried: Sequence[Tried], faults: Sequence[str], tries: int) -> str:
    """The Markdown table of docs/safety.md: time to rest p50, max; longest distance. `-`: fewer tries than `tries`."""
    lines = [_row(("fault", *TITLES.values())), _row(["---"] * (1 + len(TITLES)))]
    for fault in faults:
        cells = [_short([one for one in tried if (one.body, one.fault) == (body, fault)], tries) for body in TITLES]
        if any(cell != "-" for cell in cells):
            lines.append(_row((fault, *cells)))
    return "\n".join(lines)


def summary(tried: Sequence[Tried], limit_s: float) -> str:
    """How many tries there were, and which of them did not meet the target."""
    late = [one for one in tried if one.stood_s > limit_s]
    begun = [one for one in tried if one.began]
    after = [one for one in tried if one.moved_after]
    troubled = [one for one in tried if one.trouble]
    lines = [
        f"{len(tried)} tries; {len(late)} stood later than {limit_s} s, {len(begun)} began a motion later than that,"
        f" {len(after)} moved after what failed was back, {len(troubled)} had other trouble"
    ]
    lines += [f"- {one.body}, {one.fault}: stood after {one.stood_s:.2f} s" for one in late]
    lines += [f"- {one.body}, {one.fault}: {one.began} motions began" for one in begun]
    lines += [
        f"- {one.body}, {one.fault}: {one.back_began} motions and {one.back_way:.3f} {one.unit} after it was back"
        for one in after
    ]
    lines += [f"- {one.body}, {one.fault}: {one.trouble}" for one in troubled]
    return "\n".join(lines)


def _of_body(tried: Sequence[Tried], body: str, faults: Sequence[str]) -> str:
    heads = (*HEADS, *BACK_HEADS)
    lines = [f"**{body}** [{tried[0].unit}]\n", _row(heads), _row(["---"] * len(heads))]
    found = [(fault, [one for one in tried if one.fault == fault]) for fault in faults]
    return "\n".join(lines + [_row(_figures(fault, these)) for fault, these in found if these])


def _figures(fault: str, these: Sequence[Tried]) -> list[str]:
    stood = [one.stood_s for one in these]
    troubles = [one.trouble for one in these if one.trouble]
    return [
        fault,
        str(len(these)),
        f"{median(stood):.2f}",
        f"{max(stood):.2f}",
        f"{max(one.way for one in these):.3f}",
        str(sum(one.began for one in these)),
        str(sum(one.moved_after for one in these)),
        str(sum(one.back_began for one in these)),
        f"{max(one.back_stood_s if one.moved_after else 0.0 for one in these):.2f}",
        f"{max(one.back_way for one in these):.3f}",
        f"{len(troubles)}: {troubles[0]}" if troubles else "0",
        next((one.reason for one in these if one.reason), ""),
    ]


def _short(these: Sequence[Tried], tries: int) -> str:
    if len(these) < tries:
        return "-"
    if not any(one.way or one.stood_s for one in these) and all(one.reason.startswith("second ") for one in these):
        return "refused each time"
    stood = [one.stood_s for one in these]
    return f"{median(stood):.2f}, {max(stood):.2f} s; {max(one.way for one in these):.2f} {these[0].unit}"


def _cell(these: Sequence[Tried]) -> str:
    if not these:
        return "-"
    stood, unit = [one.stood_s for one in these], these[0].unit
    way, after = max(one.way for one in these), [one for one in these if one.moved_after]
    text = f"{median(stood):.2f}, {max(stood):.2f} s; {way:.2f} {unit}"
    if after:
        text += f"; after: {len(after)} of {len(these)}, {max(one.back_way for one in after):.2f} {unit}"
    troubled = sum(bool(one.trouble) for one in these)
    return text + (f"; trouble: {troubled} of {len(these)}" if troubled else "")


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "/").replace("\n", " ") for cell in cells) + " |"
