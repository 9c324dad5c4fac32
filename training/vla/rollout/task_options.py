"""Options of the tasks that are played; light, so that a help text needs neither torch nor a simulator."""

from __future__ import annotations

from dataclasses import dataclass

TABLETOP = "tabletop"
"""Suite of the Piper's table-top tasks; every other one is LIBERO's."""


@dataclass(frozen=True)
class TaskOptions:
    """Tasks and states. Training and evaluation share no state; LIBERO's official ones vary by 1 to 2.5 cm only."""

    suite: str = "libero_object"
    """libero_spatial, libero_object, libero_goal, libero_10, or another of LIBERO's; tabletop: the Piper's."""
    indices: tuple[int, ...] = ()
    """Of the tasks in the suite; all of it by default. Groups and states go round the tasks."""
    spread_m: float = 0.03
    """LIBERO: each object is moved by up to this along x and y from an official state; 0 for official states."""
    fixtures_m: float = 0.0
    """LIBERO: so is each fixture."""
    spread: float = 1.0
    """Table-top: fraction of the tasks' areas in which objects are placed."""
    randomise: float = 0.0
    """Table-top: fraction of the states with other colours, light, camera, mass and friction."""
    soft: bool = False
    """Table-top: an episode ends with lenient success instead of strict."""

    @property
    def is_tabletop(self) -> bool:
        """Whether they are the Piper's."""
        return self.suite == TABLETOP
