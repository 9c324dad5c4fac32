"""The LoCoBot: a Kobuki base with a camera that pans and tilts, and an arm that stays folded.

One table for both stacks that drive it, so each number is the tighter of the two.

Sources: [pyrobot] facebookresearch/pyrobot src/pyrobot/cfg/locobot_config.py; [dxl] the same,
robots/LoCoBot/locobot_control/config/dynamixels.yaml; [urdf] the same,
robots/LoCoBot/locobot_description/urdf/interbotix_locobot_description.urdf; [rover] Interbotix/interbotix_ros_rovers
interbotix_xslocobot_descriptions/urdf (pan_and_tilt, locobot; wx250s on a Kobuki); [kobuki] yujinrobot/kobuki_core
kobuki_driver acceleration_limiter.hpp; [FLaRe] its paper, section on new embodiments, and
architecture/models/allenact_transformer_models/inference_locobot.py; [PoliFormer] allenai/procthor-rl config/main.yaml.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from types import MappingProxyType

from robots.command import Command, LookAt, MoveJoint, command_from_json
from robots.embodiment import BaseLimits, Embodiment, JointLimits
from robots.embodiments.stretch_re1 import ACTIONS as STRETCH_ACTIONS
from robots.embodiments.stretch_re1 import TURN_RAD
from robots.errors import SpecError
from robots.spec import CameraSpec, VectorSpec

PAN, TILT = "joint_head_pan", "joint_head_tilt"
"""Pan counter-clockwise positive, tilt up positive, as `LookAt` counts. Both vendors count tilt downwards: drivers
send `-tilt`."""

LOOK_STEP_RAD = math.radians(30.0)  # LookUp and LookDown of a LoCoBot in AI2-THOR [PoliFormer]

# 10 units of 0.229 rpm: the profile velocity of both head motors [dxl]; [rover] allows pi rad/s.
HEAD_SPEED_RADPS = 10 * 0.229 * 2 * math.pi / 60

JOINTS: dict[str, JointLimits] = {
    PAN: JointLimits(-1.57, 1.57, HEAD_SPEED_RADPS, LOOK_STEP_RAD),  # [urdf]; [rover] 1.571, [pyrobot] -2.7 to 2.6
    # Down: 75 degrees [rover]; up: 1.4 rad, [pyrobot] MIN_TILT.
    TILT: JointLimits(-math.radians(75.0), 1.4, HEAD_SPEED_RADPS, LOOK_STEP_RAD),
}
HOME = LookAt(0.0, 0.0)  # RESET_PAN, RESET_TILT [pyrobot]; `pan_tilt_go_home` [rover]

DEFAULT_CAMERA_SLOTS: Mapping[str, Command] = MappingProxyType(
    {"move_arm_up": MoveJoint(TILT, LOOK_STEP_RAD), "move_arm_down": MoveJoint(TILT, -LOOK_STEP_RAD)}
)
"""Two action slots that move the camera. The paper repurposes two actions that a LoCoBot cannot do, not naming them
[FLaRe]. Here they are the arm's up and down: they keep their sense of direction, a policy that has never seen a LoCoBot
hardly chooses them, and the small turns, which the released LoCoBot class gives to LookUp and LookDown, stay turns: its
base can do those, and a policy needs them to face its target."""

MOVES = ("move_ahead", "move_back", "rotate_right", "rotate_left", "rotate_right_small", "rotate_left_small")
ENDS = ("done", "sub_done")

STATE: dict[str, VectorSpec] = {
    "joints": VectorSpec(
        names=tuple(JOINTS),
        units=("rad", "rad"),
        low=tuple(limits.low - 0.02 for limits in JOINTS.values()),  # measured positions overshoot a little
        high=tuple(limits.high + 0.02 for limits in JOINTS.values()),
    ),
    "hand": VectorSpec(names=("in_hand",), units=("bool",), low=(0.0,), high=(1.0,)),  # always 0: the arm is folded
}

CAMERA_HEIGHT_M = 0.5617
"""0.0102 base_joint + 0.08823 tower + 0.44425 pan + 0.019 tilt [rover]; the PyRobot LoCoBot has it at 0.591 [urdf]."""

CAMERA_FORWARD_M = 0.1014  # -0.024 tower + 0.0472 pan + 0.0250 tilt + 0.0532 camera, ahead of the wheels' axle [rover]
LENS_FOV_DEG = (
    69.4,
    42.5,
)  # horizontal and vertical, RealSense D435 colour at 16:9 (D400 datasheet, table 3-42)
IMAGE_FOV_DEG = 59.0  # what SPOC's policies take; the D435 fills 69 % of its height: decisions/0004-locobot-camera.md


def locobot(slots: Mapping[str, Command] = DEFAULT_CAMERA_SLOTS, image_fov_deg: float = IMAGE_FOV_DEG) -> Embodiment:
    """The LoCoBot.

    Args:
        slots: policy action -> what it does to the camera; see `camera_slots`.
        image_fov_deg: how high its images see; what the mounted camera does not fill of it is black.

    Raises:
        SpecError: a slot that no policy has, or that moves something else than the camera, or too far.
    """
    for name, command in slots.items():
        _check_slot(name, command)
    actions = {name: STRETCH_ACTIONS[name] for name in (*MOVES, *ENDS)} | dict(slots)
    return Embodiment(
        name="locobot",
        # 1280x720: the 16:9 colour stream that is asked of the D435, as of the Stretch's cameras
        cameras=(CameraSpec("navigation", 720, 1280, image_fov_deg, height_m=CAMERA_HEIGHT_M),),
        state=STATE,
        actions=actions,
        masked=tuple(name for name in STRETCH_ACTIONS if name not in actions),
        camera_views={"manipulation": "navigation"},  # one camera for both of SPOC's; decisions/0004-locobot-camera.md
        joints=JOINTS,
        base=BaseLimits(
            max_speed_mps=0.2,  # [pyrobot] MAX_ABS_FWD_SPEED
            max_turn_radps=0.5,  # [pyrobot] MAX_ABS_TURN_SPEED
            max_decel_mps2=0.6,  # [kobuki] its acceleration limiter
            max_turn_decel_radps2=4.2,  # [kobuki]
            max_step_m=0.25,  # LoCoBot's step in AI2-THOR [PoliFormer]; the longest that a policy asks for
            max_step_rad=TURN_RAD,
        ),
        stop={
            "base": "cancel the step, ramp to zero within the deceleration limit, then keep sending zero for a while",
            "pan, tilt": "hold the measured position",
            "arm, gripper": "stay as they are",
        },
    )


def camera_slots(text: str) -> dict[str, Command]:
    """Slots as a user writes them; empty for the default.

    Either "move_arm_up:joint_head_tilt:0.52,move_arm_down:joint_head_tilt:-0.52" (action, joint, step [rad]), or JSON
    {"move_arm_up": {"kind": "MoveJoint", "joint": "joint_head_tilt", "delta": 0.52}}. SpecError for anything else.
    """
    if not text.strip():
        return dict(DEFAULT_CAMERA_SLOTS)
    slots = _slots_from_json(text) if text.lstrip().startswith("{") else dict(map(_slot, text.split(",")))
    for name, command in slots.items():
        _check_slot(name, command)
    return slots


def _slot(text: str) -> tuple[str, Command]:
    try:
        action, joint, step = (part.strip() for part in text.split(":"))
        return action, MoveJoint(joint, float(step))
    except ValueError as error:
        raise SpecError("camera slot", repr(text.strip()), "action:joint:step, the step in radians") from error


def _slots_from_json(text: str) -> dict[str, Command]:
    try:
        return {name: command_from_json(command) for name, command in json.loads(text).items()}
    except (ValueError, AttributeError, TypeError) as error:
        raise SpecError("camera slots", repr(text), "a JSON object of commands") from error


def _check_slot(name: str, command: Command) -> None:
    if name not in STRETCH_ACTIONS:
        raise SpecError("camera slot", repr(name), f"one of {', '.join(STRETCH_ACTIONS)}")
    if isinstance(command, LookAt):
        return
    if not isinstance(command, MoveJoint) or command.joint not in JOINTS:
        raise SpecError(f"camera slot '{name}'", command, f"a LookAt, or a MoveJoint of {' or '.join(JOINTS)}")
    longest = JOINTS[command.joint].max_step or math.inf
    if not 0.0 < abs(command.delta) <= longest + 1e-6:  # NaN too
        raise SpecError(f"step of camera slot '{name}'", command.delta, f"more than 0 and at most {longest:.3f} rad")


LOCOBOT = locobot()
