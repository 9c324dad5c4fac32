"""The Franka Emika Panda of LIBERO: a seven-joint arm with a two-finger hand behind an operational-space controller.

Sources: [fci] Franka Control Interface documentation, "Robot and interface specifications", Panda; [hand] Franka Hand
product manual; [robosuite] robosuite 1.4 (controllers/config/osc_pose.json, models/assets/arenas/table_arena.xml);
[libero] LIBERO (Liu et al. 2023).
"""

from __future__ import annotations

import math
from dataclasses import replace

from robots.arms.action_chunks import aim
from robots.command import Done
from robots.embodiment import Embodiment, JointLimits
from robots.embodiments.mount import Mount
from robots.limits import GRIPPER_JOINT
from robots.spec import CameraSpec, VectorSpec

CAMERA = "agentview"
"""[libero] Over the table, looks at the robot: the third-person image of published policies."""

FOV_DEG = 45.0  # [robosuite] vertical; MuJoCo's default
IMAGE_SIZE = 128  # pixels along each side; a policy's own is best, since the image is drawn

ROW_S = 0.05  # [libero] actions come at 20 Hz
MAX_AIM_M, MAX_AIM_RAD = 0.05, 0.5  # [robosuite] output_max: what an action of 1 means

ARM = tuple(f"panda_joint{number}" for number in range(1, 8))
RANGES_RAD = (  # [fci]
    (-2.8973, 2.8973),
    (-1.7628, 1.7628),
    (-2.8973, 2.8973),
    (-3.0718, -0.0698),
    (-2.8973, 2.8973),
    (-0.0175, 3.7525),
    (-2.8973, 2.8973),
)
TOP_SPEEDS_RADPS = (*(2.175,) * 4, *(2.61,) * 3)  # [fci]
JOINTS: dict[str, JointLimits] = {
    **{name: JointLimits(*ends, speed) for name, ends, speed in zip(ARM, RANGES_RAD, TOP_SPEEDS_RADPS)},
    GRIPPER_JOINT: JointLimits(0.0, 0.08, 0.1),  # [hand] 80 mm; 50 mm/s for each finger
}
UNITS = (*("rad",) * 7, "m")

HAND = VectorSpec(
    names=("hand_x", "hand_y", "hand_z", "hand_rx", "hand_ry", "hand_rz", "finger_left", "finger_right"),
    units=(*("m",) * 3, *("rad",) * 3, *("m",) * 2),
    low=(*(-3.0,) * 3, *(-6.3,) * 3, *(-0.05,) * 2),
    high=(*(3.0,) * 3, *(6.3,) * 3, *(0.05,) * 2),
)
"""State in LIBERO's observations: point between the fingertips and rotation vector of the hand in the frame of the
scene, whose axes are the base's; the fingers. [robosuite] The rotation vector may be longer than pi, up to 2 pi; one
finger counts up from 0, the other down."""

MOUNTS = {CAMERA: Mount("base_link", (1.249, 0.0, 0.578), (0.0, 0.679, math.pi))}
"""[libero] Of its table-tops, seen from the arm's base; the twin says where its own scene has it."""

PANDA = Embodiment(
    name="panda",
    cameras=(CameraSpec(CAMERA, IMAGE_SIZE, IMAGE_SIZE, FOV_DEG),),
    state={
        "joints": VectorSpec(
            names=tuple(JOINTS),
            units=UNITS,
            low=tuple(joint.low - 0.05 for joint in JOINTS.values()),  # MuJoCo's joint limits are soft
            high=tuple(joint.high + 0.05 for joint in JOINTS.values()),
        ),
        "hand": HAND,
    },
    actions={"done": Done()},
    joints=JOINTS,
    chunks=(aim(MAX_AIM_M, MAX_AIM_RAD),),
    stop={"joints": "take no further row", "gripper": "take no further row"},
)


def panda(image_size: int = IMAGE_SIZE, speed: float = 1.0) -> Embodiment:
    """Panda with images of `image_size` pixels along each side, at a fraction of its top speeds."""
    cameras = tuple(replace(camera, height=image_size, width=image_size) for camera in PANDA.cameras)
    return replace(PANDA.slowed(speed), cameras=cameras)
