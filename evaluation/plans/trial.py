"""A trial: one policy, one place to start from, one seed; and what can become of it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np


class Outcome(str, Enum):
    """What became of a trial; never blank.

    ABORTED is a trial that says nothing of the policy: the body, the server or the place failed. INTERVENTION is one
    that a person had to end: it counts as a trial without success.
    """

    SUCCESS = "success"
    FAILURE = "failure"
    ABORTED = "aborted"
    INTERVENTION = "intervention"


@dataclass(frozen=True)
class Start:
    """Where a trial starts in a real home, and what is asked there.

    Attributes:
        name: what a person calls the place, e.g. "kitchen door".
        instruction: what the robot is told.
        target: what it is to find, for the report; may be empty.
        pose: (x_m, y_m, yaw_rad) in the body's odometry or map frame, where it is known.
    """

    name: str
    instruction: str
    target: str = ""
    pose: tuple[float, float, float] | None = None


@dataclass(frozen=True)
class Trial:
    """One trial of a plan.

    Attributes:
        index: its turn in the plan, from 0.
        block: trials of a block differ in the policy alone, so they can be compared pair by pair.
        task: e.g. "object_nav".
        policy: the policy's name in the plan.
        seed: of what is asked and of the noise; the same in the whole block.
        max_steps: decisions until it ends.
        house_seed: where it takes place in simulation; None in a real home.
        start: where it takes place in a real home; None in simulation.
        episode: what is played there, as JSON of an `EpisodeSpec`; empty where it is drawn from house and seed.
    """

    index: int
    block: int
    task: str
    policy: str
    seed: int
    max_steps: int
    house_seed: int | None = None
    start: Start | None = None
    episode: str = ""

    @property
    def id(self) -> str:
        """Name of its folder, e.g. "0007-mini"."""
        return f"{self.index:04d}-{self.policy}"

    @property
    def sampling_seed(self) -> int:
        """Seed of a sampling policy: the same in the whole block, another one in each block."""
        return int(np.random.SeedSequence([self.seed, self.block]).generate_state(1)[0])

    @property
    def place(self) -> str:
        """Where it takes place, in words."""
        return f"house {self.house_seed}" if self.start is None else self.start.name
