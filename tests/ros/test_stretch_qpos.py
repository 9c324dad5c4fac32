"""The vendor's names, order and units of a Stretch RE1, and ours."""

from __future__ import annotations

import pytest
from ferry_ros.drivers.stretch import qpos
from sensor_msgs.msg import JointState

from robots.embodiments.stretch_re1 import STRETCH_RE1

# As in stretch_driver.py of hello-robot/stretch_ros2, for an RE1.
NAMES = ["wrist_extension", "joint_lift", "joint_arm_l3", "joint_arm_l2", "joint_arm_l1", "joint_arm_l0"]
NAMES += ["joint_head_pan", "joint_head_tilt", "joint_wrist_yaw", "joint_gripper_finger_left"]
NAMES += ["joint_gripper_finger_right"]
POSITIONS = [0.4, 0.6, 0.1, 0.1, 0.1, 0.1, -1.0, -0.5, 3.0, 0.1, 0.1]


def test_the_order_of_a_streamed_pose() -> None:
    positions = qpos.positions_of(JointState(name=NAMES, position=POSITIONS))
    # arm, lift, wrist yaw, gripper (finger), pan, tilt, base translation, base rotation
    assert qpos.pose_cmd(positions) == pytest.approx([0.4, 0.6, 3.0, 0.1, -1.0, -0.5, 0.0, 0.0])


def test_the_gripper_in_percent_radians_and_metres() -> None:
    assert qpos.aperture_of_pct(70.0) == pytest.approx(0.09)  # gripper_conversion.py
    assert qpos.aperture_of_finger(0.2632) == pytest.approx(0.09, abs=1e-4)  # 0.09 / 2 / 0.171
    assert qpos.finger_of_aperture(qpos.aperture_of_finger(0.2)) == pytest.approx(0.2)


@pytest.mark.parametrize("name", ["joint_arm", "wrist_extension"])
def test_the_arm_has_two_names_and_four_links(name: str) -> None:
    assert qpos.positions_of(JointState(name=[name], position=[0.3])) == {"joint_arm": 0.3}
    links = JointState(name=list(qpos.ARM_LINKS), position=[0.1] * 4)
    assert qpos.positions_of(links) == {"joint_arm": pytest.approx(0.4)}
    limits = JointState(name=[name], position=[0.01], velocity=[0.5])
    assert qpos.ranges_of(limits)["joint_arm"] == (0.01, 0.5)


def test_efforts_by_our_names() -> None:
    message = JointState(name=NAMES, effort=[float(number) for number in range(len(NAMES))])
    efforts = qpos.efforts_of(message)
    assert (efforts["joint_arm"], efforts["joint_lift"], efforts["gripper_aperture"]) == (0.0, 1.0, 9.0)


def test_a_range_only_ever_gets_narrower() -> None:
    body = qpos.narrowed(STRETCH_RE1, {"joint_lift": (0.02, 1.2), "joint_elbow": (0.0, 1.0)})
    assert (body.joints["joint_lift"].low, body.joints["joint_lift"].high) == (0.02, 1.095)
    assert body.joints["joint_lift"].max_speed == STRETCH_RE1.joints["joint_lift"].max_speed
    assert body.joints["joint_arm"] == STRETCH_RE1.joints["joint_arm"]
