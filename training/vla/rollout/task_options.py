"""Options of LIBERO's tasks; light, so that a help text needs neither torch nor LIBERO."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class LiberoTaskOptions:
    """Tasks and states. Official states vary by 1 to 2.5 cm only; training and evaluation share none."""

    suite: str = "libero_object"
    """libero_spatial, libero_object, libero_goal, libero_10, or another of LIBERO's."""
    indices: tuple[int, ...] = ()
    """Of the tasks in the suite; all of it by default. Groups and states go round the tasks."""
    spread_m: float = 0.03
    """Each object is moved by up to this along x and y from an official state; 0 for official states."""
    fixtures_m: float = 0.0
    """So is each fixture."""
