"""Frames of robots that share their tree with others, and of an arm."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ferry_ros.interfaces.tf_message import tf_message
from ferry_ros.messages import qos
from geometry_msgs.msg import PoseStamped
from nav_msgs.msg import Odometry
from ros_graph import graph, newest, wait_until
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import String

pin = pytest.importorskip("pinocchio")


def test_the_twin_of_an_arm_knows_its_frames(tmp_path: Path) -> None:
    with graph(tmp_path) as here:
        here.robot(robot="piper_twin", publish_rate_hz=20.0, **{"piper_twin.height": 48, "piper_twin.width": 64})
        urdf = newest(here, String, "robot_description", qos.LATCHED, 60.0).data
        assert '"wrist_optical_frame"' in urdf
        assert '"scene_optical_frame"' in urdf
        joints, tip = newest(here, JointState, "joint_states"), newest(here, PoseStamped, "tip_pose")
        model = pin.buildModelFromXML(urdf)
        data = model.createData()
        pin.framesForwardKinematics(model, data, np.array(joints.position))
        there = data.oMf[model.getFrameId("fingertips")]
        place, turn = tip.pose.position, tip.pose.orientation
        assert (place.x, place.y, place.z) == pytest.approx(there.translation, abs=2e-3), "it rests"
        quaternion = np.array([turn.x, turn.y, turn.z, turn.w])
        assert abs(quaternion @ pin.Quaternion(there.rotation).coeffs()) == pytest.approx(1.0, abs=1e-4)


def test_where_others_publish_the_links_the_cameras_have_frames_yet(tmp_path: Path) -> None:
    with graph(tmp_path) as here:
        here.robot(publish_tf=False)
        moving: list[bytes] = []
        fixed: list[bytes] = []
        here.watcher.create_subscription(tf_message(), "/tf", moving.append, 10, raw=True)
        here.watcher.create_subscription(tf_message(), "/tf_static", fixed.append, qos.LATCHED, raw=True)
        here.ready()
        wait_until(lambda: fixed and len(here.watcher.odometry) > 5)
        assert b"navigation_optical_frame" in fixed[0]
        assert b"link_mast" not in fixed[0]
        assert not moving


def test_every_frame_has_the_prefix(tmp_path: Path) -> None:
    with graph(tmp_path) as here:
        here.robot(robot="locobot_twin", frame_prefix="left/", **{"twin.height": 45, "twin.width": 80})
        here.ready(90.0)
        image = newest(here, Image, "camera/navigation/image_raw")
        assert image.header.frame_id == "left/navigation_optical_frame"
        assert newest(here, Odometry, "odom").child_frame_id == "left/base_link"
        urdf = newest(here, String, "robot_description", qos.LATCHED).data
        assert '"navigation_optical_frame"' in urdf, "a prefix is no part of a URDF"
        heard: list[bytes] = []
        here.watcher.create_subscription(tf_message(), "/tf", heard.append, 10, raw=True)
        wait_until(lambda: any(b"left/tilt_link" in one for one in list(heard)))
