"""Units on a foreign wire, and what Ferry's robots use instead of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import pi


@dataclass(frozen=True)
class Unit:
    """A unit on the wire: `scale` times its number plus `offset` is the number in `si`."""

    si: str
    scale: float = 1.0
    offset: float = 0.0


UNITS: Mapping[str, Unit] = {
    "m": Unit("m"),
    "cm": Unit("m", 0.01),
    "mm": Unit("m", 0.001),
    "rad": Unit("rad"),
    "deg": Unit("rad", pi / 180.0),
    "share": Unit("share"),  # of a gripper: 0 closed, 1 open
    "percent": Unit("share", 0.01),
    "closed_share": Unit("share", -1.0, 1.0),  # 0 open, 1 closed
    "open_sign": Unit("share", 0.5, 0.5),  # -1 closed, 1 open
    "closed_sign": Unit("share", -0.5, 0.5),  # -1 open, 1 closed
    "bool": Unit("bool"),
}
"""The units that a contract may name, e.g. "deg", which a robot has as "rad"."""
