"""Calibrations as ROS's camera_calibration writes them, and measured places of cameras."""

from __future__ import annotations

from pathlib import Path

import pytest
from ferry_ros.messages import qos
from ferry_ros.messages.camera_calibration import calibrations, mounts, other_lens, read_calibration
from ros_graph import graph, newest
from sensor_msgs.msg import CameraInfo
from std_msgs.msg import String

from robots.embodiments.mount import Mount
from robots.errors import SpecError
from robots.spec import CameraSpec

CAMERA = CameraSpec("navigation", 480, 640, 42.5)
WRITTEN = """image_width: 640
image_height: 480
camera_name: narrow_stereo
camera_matrix:
  rows: 3
  cols: 3
  data: [612.5, 0. , 321.25, 0. , 613.75, 239.5, 0. , 0. , 1. ]
distortion_model: plumb_bob
distortion_coefficients:
  rows: 1
  cols: 5
  data: [0.125, -0.25, 0.001, -0.002, 0. ]
rectification_matrix:
  rows: 3
  cols: 3
  data: [1., 0., 0., 0., 1., 0., 0., 0., 1.]
projection_matrix:
  rows: 3
  cols: 4
  data: [620.5, 0. , 320.75, 0. , 0. , 621.5, 239.25, 0. , 0. , 0. , 1. , 0. ]
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "head.yaml"
    path.write_text(WRITTEN)
    return path


def test_a_calibration_is_read_as_it_was_written(file: Path) -> None:
    info = calibrations(f" navigation = file://{file} ", (CAMERA,))["navigation"]
    assert (info.height, info.width, info.distortion_model) == (480, 640, "plumb_bob")
    assert list(info.d) == [0.125, -0.25, 0.001, -0.002, 0.0]
    assert list(info.k) == [612.5, 0.0, 321.25, 0.0, 613.75, 239.5, 0.0, 0.0, 1.0]
    assert list(info.p) == [620.5, 0.0, 320.75, 0.0, 0.0, 621.5, 239.25, 0.0, 0.0, 0.0, 1.0, 0.0]


def test_images_of_half_the_size_have_half_the_focal_length(file: Path) -> None:
    info = read_calibration(file, CameraSpec("navigation", 240, 320, 42.5))
    assert (info.height, info.width, info.k[0], info.k[2], info.k[8]) == (240, 320, 306.25, 160.625, 1.0)
    assert (info.p[5], info.p[10]) == (310.75, 1.0)
    assert list(info.d) == [0.125, -0.25, 0.001, -0.002, 0.0]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("image_width: 640", "image_width: 848"),  # another aspect ratio
        ("camera_matrix:", "matrix:"),
        ("0.125, -0.25", "none, -0.25"),
        ("[1., 0., 0., 0., 1., 0., 0., 0., 1.]", "[1., 0.]"),
        ("camera_name: narrow_stereo", "camera_name: ["),
    ],
)
def test_what_is_no_calibration_of_these_images_is_refused(file: Path, old: str, new: str) -> None:
    file.write_text(WRITTEN.replace(old, new))
    with pytest.raises(SpecError, match=str(file)):
        read_calibration(file, CAMERA)


def test_unknown_cameras_and_missing_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"camera_info_urls: .*head.*NAME one of navigation"):
        calibrations("head=/there.yaml", (CAMERA,))
    with pytest.raises(SpecError, match="FileNotFoundError"):
        calibrations(f"navigation={tmp_path}/none.yaml", (CAMERA,))


def test_a_lens_that_differs_from_the_table_is_named(file: Path) -> None:
    found = calibrations(f"navigation={file}", (CAMERA,))
    assert other_lens(found, (CAMERA,)) == []
    assert "42.7" in other_lens(found, (CameraSpec("navigation", 480, 640, 59.0),))[0]


def test_measured_places_are_read() -> None:
    assert mounts("navigation=link_6 0 0.05 -0.07 0 -1.57 0;", (CAMERA,)) == {
        "navigation": Mount("link_6", (0.0, 0.05, -0.07), (0.0, -1.57, 0.0))
    }
    with pytest.raises(SpecError, match="LINK X Y Z ROLL PITCH YAW"):
        mounts("navigation=link_6 0 0.05", (CAMERA,))


def test_a_robot_node_publishes_them(tmp_path: Path, file: Path) -> None:
    with graph(tmp_path) as here:
        here.robot(
            camera_info_urls=f"navigation={file}",
            camera_mounts="manipulation=link_head_tilt 0.1 0 0 0 0 0",
            **{"fake.height": 240, "fake.width": 320},
        )
        info = newest(here, CameraInfo, "camera/navigation/camera_info")
        assert (info.header.frame_id, info.height, info.d[0], info.k[0]) == (
            "navigation_optical_frame",
            240,
            0.125,
            306.25,
        )
        ideal = newest(here, CameraInfo, "camera/manipulation/camera_info")
        assert (ideal.header.frame_id, list(ideal.d)) == ("manipulation_optical_frame", [0.0] * 5)
        urdf = newest(here, String, "robot_description", qos.LATCHED).data
        assert '<parent link="link_head_tilt"/><child link="manipulation_frame"/>' in urdf
