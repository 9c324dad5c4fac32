"""URDFs of the robots, and the names of their joints."""

from __future__ import annotations

from importlib.util import find_spec
from xml.etree import ElementTree

import pytest

from robots.embodiment import Embodiment
from robots.embodiments.description import description, joint_positions
from robots.embodiments.locobot import LOCOBOT
from robots.embodiments.mount import Mount
from robots.embodiments.panda import PANDA
from robots.embodiments.piper import PIPER
from robots.embodiments.ros2_control_arms import ARMS
from robots.embodiments.stretch_re1 import STRETCH_RE1
from robots.spec import CameraSpec

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


SEEING = (CameraSpec("external", 72, 128, 42.5), CameraSpec("wrist", 48, 64, 42.5))


@pytest.mark.parametrize(
    "body",
    [STRETCH_RE1, LOCOBOT, PIPER, PANDA, *(arm.embodiment(SEEING, True, False, 0.0) for arm in ARMS.values())],
    ids=lambda body: body.name,
)
def test_every_camera_has_an_optical_frame_in_the_robots_tree(body: Embodiment) -> None:
    urdf = ElementTree.fromstring(description(body))
    parents = {
        joint.find("child").attrib["link"]: joint.find("parent").attrib["link"]  # type: ignore[union-attr]
        for joint in urdf.findall("joint")
    }
    for camera in body.cameras:
        link = f"{camera.name}_optical_frame"
        while link in parents:
            link = parents[link]
        assert link == "base_link", camera.name


def test_a_camera_at_the_wrist_moves_with_it() -> None:
    for arm in ARMS.values():
        urdf = description(arm.embodiment(SEEING, True, False, 0.0))
        assert f'<parent link="link_{len(arm.joints)}"/><child link="wrist_frame"/>' in urdf


def test_a_robot_may_say_where_its_cameras_are() -> None:
    assert '<parent link="link3"/><child link="scene_frame"/>' in description(
        PIPER, {"scene": Mount("link3", (0.0, 0.0, 0.1))}
    )


def test_the_telescope_is_four_joints() -> None:
    positions = joint_positions(STRETCH_RE1, {"joint_arm": 0.4, "joint_lift": 0.6, "gripper_aperture": 0.05})
    assert positions["joint_lift"] == 0.6
    assert {name: value for name, value in positions.items() if name != "joint_lift"} == {
        f"joint_arm_l{number}": 0.1 for number in range(4)
    }
