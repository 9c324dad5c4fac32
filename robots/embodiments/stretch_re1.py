"""The Hello Robot Stretch RE1: the embodiment of SPOC and FLaRe.

Sources: [FLaRe] JiahengHu/FLaRe utils/constants/stretch_initialization_utils.py and environment/stretch_controller.py;
[params] hello-robot-stretch-body 0.7.31 robot_params_RE1V0.py; [urdf] hello-robot-stretch-urdf 0.1.2 RE1V0.
"""

from __future__ import annotations

import math

from robots.command import Command, Done, Grasp, MoveBase, MoveJoint, Release, RotateBase
from robots.embodiment import BaseLimits, Embodiment, JointLimits
from robots.embodiments.mount import Mount
from robots.spec import CameraSpec, DiscreteActions, VectorSpec

STEP_M = 0.2  # [FLaRe] move_ahead, move_back
TURN_RAD = math.radians(30.0)  # [FLaRe] rotate_left, rotate_right
SMALL_TURN_RAD = math.radians(6.0)  # [FLaRe] rotate_*_small
ARM_STEP_M = 0.1  # [FLaRe] move_arm_*
SMALL_ARM_STEP_M = 0.02  # [FLaRe] move_arm_*_small
WRIST_STEP_RAD = math.radians(10.0)  # [FLaRe] wrist_open, wrist_close

# The 20 actions in the order of the network's logits [FLaRe]. THOR counts rotation clockwise; here it is REP-103.
ACTIONS: dict[str, Command] = {
    "move_ahead": MoveBase(STEP_M),
    "rotate_right": RotateBase(-TURN_RAD),
    "rotate_left": RotateBase(TURN_RAD),
    "move_back": MoveBase(-STEP_M),
    "done": Done(),
    "sub_done": Done(subgoal=True),
    "rotate_left_small": RotateBase(SMALL_TURN_RAD),
    "rotate_right_small": RotateBase(-SMALL_TURN_RAD),
    "pickup": Grasp(),
    "move_arm_in": MoveJoint("joint_arm", -ARM_STEP_M),
    "move_arm_out": MoveJoint("joint_arm", ARM_STEP_M),
    "move_arm_up": MoveJoint("joint_lift", ARM_STEP_M),
    "move_arm_down": MoveJoint("joint_lift", -ARM_STEP_M),
    "wrist_open": MoveJoint("joint_wrist_yaw", WRIST_STEP_RAD),
    "wrist_close": MoveJoint("joint_wrist_yaw", -WRIST_STEP_RAD),
    "move_arm_down_small": MoveJoint("joint_lift", -SMALL_ARM_STEP_M),
    "move_arm_in_small": MoveJoint("joint_arm", -SMALL_ARM_STEP_M),
    "move_arm_out_small": MoveJoint("joint_arm", SMALL_ARM_STEP_M),
    "move_arm_up_small": MoveJoint("joint_lift", SMALL_ARM_STEP_M),
    "dropoff": Release(),
}
SPOC_ACTIONS = DiscreteActions(tuple(ACTIONS))

JOINTS: dict[str, JointLimits] = {
    "joint_lift": JointLimits(0.0, 1.095, 0.15, ARM_STEP_M),  # range [urdf], speed [params] lift max
    "joint_arm": JointLimits(0.0, 0.52, 0.30, ARM_STEP_M),  # four links of 0.13 m [urdf], speed [params] arm max
    "joint_wrist_yaw": JointLimits(
        -1.384, 4.0, 3.0, WRIST_STEP_RAD
    ),  # low [params] -79 degrees, high [urdf], speed [params]
    "joint_head_pan": JointLimits(-3.9, 1.5, 7.0),  # range [urdf], inside the servo's; speed [params]
    "joint_head_tilt": JointLimits(-1.53, 0.419, 6.0),  # low [urdf], high [params]: the servo stops before the URDF
    "gripper_aperture": JointLimits(0.0, 0.09, 0.5),  # fingertips touch .. 0.09 m at 70 % [params]; speed: estimate
}

STATE: dict[str, VectorSpec] = {
    "joints": VectorSpec(
        names=tuple(JOINTS),
        units=("m", "m", "rad", "rad", "rad", "m"),
        low=tuple(limits.low - 0.02 for limits in JOINTS.values()),  # measured positions overshoot a little
        high=tuple(limits.high + 0.02 for limits in JOINTS.values()),
    ),
    "hand": VectorSpec(names=("in_hand",), units=("bool",), low=(0.0,), high=(1.0,)),
}

CAMERAS = (
    # Two RealSense colour streams at 1280x720, 59 degrees high [FLaRe ORIGINAL_INTEL_*, calibrate_agent].
    CameraSpec("navigation", 720, 1280, 59.0, pitch_deg=27.0, yaw_deg=0.0, height_m=1.35),
    CameraSpec("manipulation", 720, 1280, 59.0, pitch_deg=33.0, yaw_deg=-90.0, height_m=1.35),
)

MOUNTS = {
    # Fixed to the base: the head's pan and tilt do not move them. The places are a choice, below the head.
    "navigation": Mount("base_link", (0.04, 0.0, 1.33), (0.0, math.radians(27.0), 0.0)),
    "manipulation": Mount("base_link", (0.0, -0.04, 1.33), (0.0, math.radians(33.0), math.radians(-90.0))),
}

TELESCOPE = ("joint_arm_l3", "joint_arm_l2", "joint_arm_l1", "joint_arm_l0")
"""The four joints of [urdf] that `joint_arm` moves, each by a quarter."""

STRETCH_RE1 = Embodiment(
    name="stretch_re1",
    cameras=CAMERAS,
    state=STATE,
    actions=ACTIONS,
    joints=JOINTS,
    base=BaseLimits(
        max_speed_mps=0.30,  # [params] base motion max vel_m
        max_turn_radps=1.90,  # 2 x 0.30 m/s over the 0.3153 m wheel separation [params]
        max_decel_mps2=0.4,  # [params] base motion max accel_m
        max_turn_decel_radps2=2.5,  # 2 x 0.4 m/s^2 over the wheel separation
        max_step_m=STEP_M,
        max_step_rad=TURN_RAD,
    ),
    stop={
        "base": "cancel the step and ramp to zero within the deceleration limit",
        "lift, arm, wrist, head": "hold the measured position",
        "gripper": "keep its aperture, so that a held object is not dropped",
    },
)
