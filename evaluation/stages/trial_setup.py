"""What a trial began from, as the place of the trial knows it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from evaluation.stages.floor_map import FloorMap


@dataclass(frozen=True)
class TrialSetup:
    """Where a trial takes place.

    Attributes:
        instruction: what the robot is told.
        target: what it is to find; may be empty.
        expert_steps: decisions that the expert needs here; None where nobody knows.
        floor: the floor from above; None where there is no map.
        episode: what plays it again in simulation, as JSON values; empty in a real home.
    """

    instruction: str
    target: str = ""
    expert_steps: int | None = None
    floor: FloorMap | None = None
    episode: Mapping[str, Any] = field(default_factory=dict)
