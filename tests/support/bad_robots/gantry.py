"""A small good arm, and the same with a fault."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from bad_robots.cart import OPTIONS, Cart
from robots.arms.action_chunks import GRIPPER, POSE, cartesian_delta, joint_positions
from robots.command import Chunk, Command, Done
from robots.embodiment import Embodiment, JointLimits, Workspace
from robots.fakes.kinematic import FakeOptions
from robots.limits import limit
from robots.robot import Sent
from robots.spec import CameraSpec, VectorSpec

GANTRY_JOINTS = {axis: JointLimits(-0.1, 1.0, 1.0) for axis in "xyz"} | {"gripper_aperture": JointLimits(0.0, 0.1, 0.4)}
GANTRY = Embodiment(
    name="gantry",
    cameras=(CameraSpec("front", 12, 16, 60.0),),
    state={"joints": VectorSpec(tuple(GANTRY_JOINTS), ("m",) * 4, (-0.2,) * 4, (1.1,) * 4)},
    actions={"done": Done()},
    joints=GANTRY_JOINTS,
    chunks=(cartesian_delta(0.02, 0.1), joint_positions(GANTRY_JOINTS, ("m",) * 4)),
    workspace=Workspace((0.0, 0.0, 0.0), (0.5, 0.5, 0.5)),
)


class Gantry(Cart):
    """An arm whose three joints are the place of its fingertips."""

    share = 1.0

    def __init__(self, options: FakeOptions = OPTIONS) -> None:
        super().__init__(options, GANTRY)

    def execute(self, command: Command) -> Sent:
        if not isinstance(command, Chunk) or command.names != (*POSE, GRIPPER):
            return super().execute(command)
        sent = limit(command, self.spec, self.positions)
        rows = self.rows(command)
        if sent.refused or (refusal := self.outside(rows)):
            return replace(sent, refused=sent.refused or refusal)
        return replace(super().execute(Chunk(self.spec.chunks[1].names, rows, command.period_s)), command=command)

    def rows(self, chunk: Chunk) -> tuple[tuple[float, ...], ...]:
        """Joint positions of each row."""
        here = np.array([self.positions[axis] for axis in "xyz"])
        ways = self.share * np.cumsum([row[:3] for row in chunk.rows], axis=0)
        return tuple((*(here + way).tolist(), 0.1 * row[6]) for way, row in zip(ways, chunk.rows))

    def outside(self, rows: tuple[tuple[float, ...], ...]) -> str:
        """Why the rows are refused, or nothing."""
        box = self.spec.workspace
        assert box is not None
        for number, row in enumerate(rows):
            if not all(low <= value <= high for low, value, high in zip(box.low, row, box.high)):
                return f"out of workspace: row {number} leads to {row[:3]}"
        return ""


class LeavesItsWorkspace(Gantry):
    """Goes where its joints let it."""

    def outside(self, rows: tuple[tuple[float, ...], ...]) -> str:
        return ""


class TakesStepsForHalf(Gantry):
    """Moves its fingertips by half of the increments."""

    share = 0.5


class Jumps(Gantry):
    """Follows any row, however far."""

    def execute(self, command: Command) -> Sent:
        sent = super().execute(command)
        if sent.refused.startswith("jump") and isinstance(command, Chunk):
            return replace(super().execute(Done()), command=command)
        return sent
