"""The vendor's numbers of a Stretch RE1, and ours: names, order, units. Pure functions.

Sources: hello-robot/stretch_ros2, branch humble: [qpos] hello_helpers/joint_qpos_conversion.py (get_Idx) and
stretch_core/stretch_driver.py (move_to_position); [gripper] hello_helpers/gripper_conversion.py; [limits]
stretch_driver.py (get_joint_states_callback).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from sensor_msgs.msg import JointState

from robots.embodiment import Embodiment

GRIPPER = "gripper_aperture"

ORDER = ("joint_arm", "joint_lift", "joint_wrist_yaw", GRIPPER, "joint_head_pan", "joint_head_tilt")
"""The joints of `/joint_pose_cmd` for the tool `tool_stretch_gripper`, before the two numbers of the base [qpos]."""

TOOL = "tool_stretch_gripper"
"""The end of arm of an RE1: one wrist joint, one gripper. A dexterous wrist has two joints more."""

FINGER_LENGTH_M = 0.171  # [gripper]
APERTURE_PER_PCT_M = 0.09 / 70.0  # [gripper] 0.09 m at 70 %
FINGER = "joint_gripper_finger_left"
ARM_NAMES = ("joint_arm", "wrist_extension")  # the first is in the limits [limits], the second in the joint states
ARM_LINKS = ("joint_arm_l3", "joint_arm_l2", "joint_arm_l1", "joint_arm_l0")


def aperture_of_pct(pct: float) -> float:
    """The servo's percent (-100 squeezes, 0 the fingertips touch, 70 open) as an aperture [m]."""
    return pct * APERTURE_PER_PCT_M


def aperture_of_finger(finger_rad: float) -> float:
    """The angle of one finger as the aperture between the fingertips [m]; below 0 they press on each other."""
    return 2.0 * finger_rad * FINGER_LENGTH_M


def finger_of_aperture(aperture_m: float) -> float:
    """Inverse of `aperture_of_finger`."""
    return aperture_m / 2.0 / FINGER_LENGTH_M


def pose_cmd(positions: Mapping[str, float]) -> list[float]:
    """The 8 numbers of `/joint_pose_cmd`; the base, which has cmd_vel, gets zeros, which the driver ignores."""
    named = {**positions, GRIPPER: finger_of_aperture(positions[GRIPPER])}
    return [*(named[name] for name in ORDER), 0.0, 0.0]


def positions_of(message: JointState) -> dict[str, float]:
    """Joint name -> [m] or [rad] of those in the vendor's `/stretch/joint_states`."""
    return _ours(dict(zip(message.name, message.position)), aperture_of_finger)


def efforts_of(message: JointState) -> dict[str, float]:
    """Joint name -> effort of the motor in percent of its maximum, where published."""
    return _ours(dict(zip(message.name, message.effort)), float)


def _ours(values: dict[str, float], gripper: object) -> dict[str, float]:
    assert callable(gripper)
    ours = {name: values[name] for name in ORDER if name in values and name != GRIPPER}
    for name in ARM_NAMES:
        if name in values:
            ours["joint_arm"] = values[name]
    if "joint_arm" not in ours and all(name in values for name in ARM_LINKS):
        ours["joint_arm"] = sum(values[name] for name in ARM_LINKS)
    if FINGER in values:
        ours[GRIPPER] = gripper(values[FINGER])
    return ours


def ranges_of(message: JointState) -> dict[str, tuple[float, float]]:
    """Joint name -> (low, high) of `/joint_limits`: `position` is the lower, `velocity` the upper one [limits]."""
    ranges = dict(zip(message.name, zip(message.position, message.velocity)))
    arm = next((ranges[name] for name in ARM_NAMES if name in ranges), None)
    return {**ranges, **({"joint_arm": arm} if arm else {})}


def narrowed(body: Embodiment, ranges: Mapping[str, tuple[float, float]]) -> Embodiment:
    """`body` with each joint held to what this one robot's calibration allows as well."""
    joints = {}
    for name, joint in body.joints.items():
        low, high = ranges.get(name, (joint.low, joint.high))
        joints[name] = replace(joint, low=max(joint.low, low), high=min(joint.high, high))
    return replace(body, joints=joints)
