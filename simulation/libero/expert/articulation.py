"""Opens and closes drawers, and turns knobs: the waypoints."""

from __future__ import annotations

from collections.abc import Iterator

from simulation.libero.expert.waypoint import Waypoint
from simulation.libero.world import LiberoWorld


def movements(world: LiberoWorld, literal: tuple[str, ...]) -> Iterator[tuple[str, list[Waypoint]]]:
    """Plans for a literal with their keys, the likelier first."""
    yield from ()
