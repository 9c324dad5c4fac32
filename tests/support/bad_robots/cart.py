"""A small good robot."""

from __future__ import annotations

from robots.arms.action_chunks import joint_positions
from robots.command import Done, Grasp, MoveBase, MoveJoint, RotateBase
from robots.embodiment import BaseLimits, Embodiment, JointLimits
from robots.fakes.kinematic import FakeOptions, FakeRobot
from robots.spec import CameraSpec, VectorSpec

JOINTS = {
    "lift": JointLimits(0.0, 1.0, 0.4, 0.1),
    "wrist": JointLimits(-1.0, 1.0, 0.6),
    "gripper_aperture": JointLimits(0.0, 0.1, 0.4),
}
UNITS = ("m", "rad", "m")
CART = Embodiment(
    name="cart",
    cameras=(CameraSpec("front", 12, 16, 60.0),),
    state={
        "joints": VectorSpec(tuple(JOINTS), UNITS, (-0.1, -1.1, -0.1), (1.1, 1.1, 0.2)),
        "hand": VectorSpec(("in_hand",), ("bool",), (0.0,), (1.0,)),
    },
    actions={
        "ahead": MoveBase(0.1),
        "left": RotateBase(0.3),
        "up": MoveJoint("lift", 0.1),
        "grasp": Grasp(),
        "done": Done(),
    },
    joints=JOINTS,
    base=BaseLimits(0.3, 1.0, 1.2, 4.0, 0.1, 0.3),
    chunks=(joint_positions(JOINTS, UNITS),),
)
OPTIONS = FakeOptions(height=12, width=16)


class Cart(FakeRobot):
    """The good one: a base, a lift, a wrist and a gripper, and nothing else."""

    def __init__(self, options: FakeOptions = OPTIONS, body: Embodiment = CART) -> None:
        super().__init__(options, body)
