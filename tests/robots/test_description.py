"""URDFs of the robots, and the names of their joints."""

from __future__ import annotations

from importlib.util import find_spec
from xml.etree import ElementTree

import pytest

from robots.embodiment import Embodiment
from robots.embodiments.description import description, joint_positions
from robots.embodiments.locobot import LOCOBOT
from robots.embodiments.mount import Mount
from robots.embodiments.piper import PIPER
from robots.embodiments.ros2_control_arms import ARMS
from robots.embodiments.stretch_re1 import STRETCH_RE1

ROBOTS = [STRETCH_RE1, LOCOBOT, PIPER, *(arm.embodiment((), True, True, 0.0) for arm in ARMS.values())]


@pytest.mark.parametrize("body", ROBOTS, ids=lambda body: body.name)
def test_a_urdf_is_one_tree_and_has_every_joint_that_is_reported(body: Embodiment) -> None:
    if body is STRETCH_RE1 and find_spec("stretch_urdf") is None:
        pytest.skip("hello-robot-stretch-urdf is not installed: it is in the extra `sim`, and on every Stretch")
    urdf = ElementTree.fromstring(description(body))
    links = [link.attrib["name"] for link in urdf.findall("link")]
    children = [child.attrib["link"] for child in urdf.findall("joint/child")]
    parents = {parent.attrib["link"] for parent in urdf.findall("joint/parent")}
    assert len(set(links)) == len(links)
    assert sorted([*children, "base_link"]) == sorted(links), "each link but the base is one joint's child"
    assert parents <= set(links)
    moving = {joint.attrib["name"] for joint in urdf.findall("joint") if joint.attrib["type"] != "fixed"}
    assert set(joint_positions(body, dict.fromkeys(body.joints, 0.1))) <= moving


@pytest.mark.parametrize(("body", "placed"), [(STRETCH_RE1, 2), (LOCOBOT, 1), (PIPER, 0)], ids=lambda one: str(one)[:9])
def test_cameras_have_an_optical_frame_where_their_place_is_known(body: Embodiment, placed: int) -> None:
    urdf = description(body)
    assert [f'"{camera.name}_optical_frame"' in urdf for camera in body.cameras].count(True) == placed


def test_a_robot_may_say_where_its_cameras_are() -> None:
    assert '"scene_optical_frame"' in description(PIPER, {"scene": Mount("link3", (0.0, 0.0, 0.1))})


def test_the_telescope_is_four_joints() -> None:
    positions = joint_positions(STRETCH_RE1, {"joint_arm": 0.4, "joint_lift": 0.6, "gripper_aperture": 0.05})
    assert positions["joint_lift"] == 0.6
    assert {name: value for name, value in positions.items() if name != "joint_lift"} == {
        f"joint_arm_l{number}": 0.1 for number in range(4)
    }
