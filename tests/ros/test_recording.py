"""A twin's episode over DDS, recorded in MCAP and read with other people's tools."""

from __future__ import annotations

import bisect
import math
from collections import defaultdict
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from mcap_file import Recorder, read
from nav_msgs.msg import Odometry
from numpy.typing import NDArray
from ros_graph import graph, wait_until
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, JointState
from std_msgs.msg import String

from robots.command import Command, MoveBase, MoveJoint, RotateBase
from robots.execution.command_request import CommandRequest

pin = pytest.importorskip("pinocchio")

CAMERAS = ("navigation", "manipulation")
HEIGHT, WIDTH = 84, 144
STEPS: tuple[Command, ...] = (RotateBase(math.radians(30)), MoveBase(0.2), MoveJoint("joint_arm", 0.1))
TOPICS: dict[str, Any] = {
    **{f"camera/{name}/image_raw": Image for name in CAMERAS},
    **{f"camera/{name}/image_raw/compressed": CompressedImage for name in CAMERAS},
    **{f"camera/{name}/camera_info": CameraInfo for name in CAMERAS},
    "joint_states": JointState,
    "odom": Odometry,
    "robot_description": String,
    "/tf": "tf",
    "/tf_static": "tf",
}


class Bag:
    """Messages by topic, each with its arrival [ns]."""

    def __init__(self, file: Path) -> None:
        self.messages: dict[str, list[tuple[int, Any]]] = defaultdict(list)
        for topic, at_ns, message in read(file):
            self.messages[topic].append((at_ns, message))
        self._moving: dict[tuple[str, str], list[tuple[int, NDArray[np.float64]]]] = defaultdict(list)
        self._parents: dict[str, str] = {}
        for topic in ("/tf", "/tf_static"):
            for _, message in self.messages[topic]:
                for one in message.transforms:
                    link = one.header.frame_id, one.child_frame_id
                    assert self._parents.setdefault(link[1], link[0]) == link[0], f"{link[1]} has two parents"
                    stamp_ns = math.inf if topic == "/tf_static" else stamp_of(one)
                    self._moving[link].append((stamp_ns, matrix(one.transform)))  # type: ignore[arg-type]

    def pose(self, frame: str, stamp_ns: int) -> NDArray[np.float64] | None:
        """(4, 4) pose of `frame` in `odom` at `stamp_ns`; None before and after what is known of it."""
        whole = np.eye(4)
        while frame != "odom":
            known = self._moving[self._parents[frame], frame]
            after = bisect.bisect_left([at_ns for at_ns, _ in known], stamp_ns)
            if after == len(known) or (after == 0 and known[0][0] not in (math.inf, stamp_ns)):
                return None
            whole, frame = known[after][1] @ whole, self._parents[frame]
        return whole


def stamp_of(message: Any) -> int:
    return int(message.header.stamp.sec) * 10**9 + int(message.header.stamp.nanosec)


def matrix(transform: Any) -> NDArray[np.float64]:
    """(4, 4) of a transform, by Pinocchio."""
    place, turn = transform.translation, transform.rotation
    pose: NDArray[np.float64] = pin.XYZQUATToSE3(
        np.array([place.x, place.y, place.z, turn.x, turn.y, turn.z, turn.w])
    ).homogeneous
    return pose


@pytest.fixture(scope="module")
def bag(tmp_path_factory: pytest.TempPathFactory) -> Bag:
    folder = tmp_path_factory.mktemp("recording")
    with graph(folder) as here:
        here.robot(robot="stretch_re1_twin", **{"twin.height": HEIGHT, "twin.width": WIDTH})
        recorder = Recorder(here.watcher, TOPICS, ("robot_description", "/tf_static"))
        here.ready(90.0)
        assert here.watcher.begin()
        for number, step in enumerate(STEPS):
            seen = len(here.watcher.stamps_ns)
            wait_until(lambda seen=seen: len(here.watcher.stamps_ns) > seen)
            here.watcher.order(CommandRequest(here.watcher.stamps_ns[-1], step, 5.0))
            wait_until(lambda number=number: len(here.watcher.results) > number)
        assert [result.sent.refused for result in here.watcher.results] == [""] * len(STEPS)
        count = len(here.watcher.odometry)
        wait_until(lambda: len(here.watcher.odometry) > count + 1 and topics(recorder) == set(TOPICS))
        recorder.write(folder / "episode.mcap")
    return Bag(folder / "episode.mcap")


def topics(recorder: Recorder) -> set[str]:
    return {topic for topic, _, _ in recorder.messages}


def test_stamps_are_those_of_the_wall_clock(bag: Bag) -> None:
    for topic in ("joint_states", "odom", *(f"camera/{name}/{part}" for name in CAMERAS for part in PARTS)):
        stamps = [stamp_of(message) for _, message in bag.messages[topic]]
        late_s = [(at_ns - stamp_of(message)) / 1e9 for at_ns, message in bag.messages[topic]]
        assert stamps == sorted(set(stamps)), topic
        assert min(late_s) > -0.01, topic
        assert np.median(late_s) < 1.0, topic


PARTS = ("image_raw", "image_raw/compressed", "camera_info")


@pytest.mark.parametrize("camera", CAMERAS)
def test_the_tree_joins_odom_to_the_optical_frame_at_every_image(bag: Bag, camera: str) -> None:
    first, last = (stamp_of(bag.messages["odom"][index][1]) for index in (0, -1))
    stamps = [stamp_of(image) for _, image in bag.messages[f"camera/{camera}/image_raw"]]
    inside = [stamp_ns for stamp_ns in stamps if first < stamp_ns < last]
    assert len(inside) >= len(STEPS)
    (frame,) = {image.header.frame_id for _, image in bag.messages[f"camera/{camera}/image_raw"]}
    assert frame == f"{camera}_optical_frame"
    poses = [bag.pose(frame, stamp_ns) for stamp_ns in inside]
    assert all(pose is not None for pose in poses)
    pitch, yaw = (27.0, 0.0) if camera == "navigation" else (33.0, -90.0)
    odometry = bag.messages["odom"][-1][1].pose.pose.orientation
    heading = math.radians(yaw) + 2 * math.atan2(odometry.z, odometry.w)
    ahead = (math.cos(heading), math.sin(heading), -math.tan(math.radians(pitch)))
    assert poses[-1] is not None
    assert poses[-1][:3, 2] == pytest.approx(np.array(ahead) / np.linalg.norm(ahead), abs=1e-6), "z looks ahead"
    assert poses[-1][2, 0] == pytest.approx(0.0, abs=1e-6), "x is level, to the right"
    assert poses[-1][2, 3] == pytest.approx(1.33)


@pytest.mark.parametrize("camera", CAMERAS)
def test_images_are_decoded_by_other_tools(bag: Bag, camera: str) -> None:
    raw = {stamp_of(image): image for _, image in bag.messages[f"camera/{camera}/image_raw"]}
    for _, message in bag.messages[f"camera/{camera}/image_raw/compressed"]:
        jpeg = cv2.imdecode(np.frombuffer(message.data, np.uint8), cv2.IMREAD_COLOR)
        assert jpeg is not None
        image = raw.get(stamp_of(message))
        if image is not None:
            assert (image.encoding, image.step) == ("rgb8", 3 * WIDTH)
            pixels = np.frombuffer(image.data, np.uint8).reshape(HEIGHT, WIDTH, 3)[:, :, ::-1]
            assert np.abs(jpeg.astype(int) - pixels).mean() < 6.0
    info = bag.messages[f"camera/{camera}/camera_info"][-1][1]
    assert (info.header.frame_id, info.height, info.width) == (f"{camera}_optical_frame", HEIGHT, WIDTH)


def test_the_description_and_the_joint_states_are_the_vendors(bag: Bag) -> None:
    model = pin.buildModelFromXML(bag.messages["robot_description"][-1][1].data)
    states = [message for _, message in bag.messages["joint_states"]]
    assert set(states[-1].name) <= set(model.names)
    assert {"joint_arm_l0", "joint_lift", "joint_head_pan"} <= set(states[-1].name)
    out = [dict(zip(state.name, state.position, strict=True))["joint_arm_l0"] for state in states]
    assert out[-1] - out[0] == pytest.approx(0.025, abs=0.002), "a quarter of what the arm moved"
    speeds = [dict(zip(state.name, state.velocity, strict=True))["joint_arm_l0"] for state in states]
    assert max(speeds) > 0.0


def test_odometry_has_a_covariance_and_a_twist_in_the_frame_of_the_base(bag: Bag) -> None:
    readings = [message for _, message in bag.messages["odom"]]
    assert (readings[0].header.frame_id, readings[0].child_frame_id) == ("odom", "base_link")
    assert all(value > 0 for value in readings[0].pose.covariance[::7])
    assert all(value > 0 for value in readings[0].twist.covariance[::7])
    assert max(reading.twist.twist.angular.z for reading in readings) > 0.0
    assert max(reading.twist.twist.linear.x for reading in readings) > 0.0
