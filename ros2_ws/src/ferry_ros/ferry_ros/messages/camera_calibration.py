"""Calibrations and places of a robot's cameras, as robot_node's parameters name them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from sensor_msgs.msg import CameraInfo

from robots.embodiments.mount import Mount
from robots.errors import SpecError
from robots.spec import CameraSpec

PARTS = {"camera_matrix": 9, "rectification_matrix": 9, "projection_matrix": 12}
"""Matrices of a calibration file, and how many numbers each has."""

FOV_DEG = 2.0
"""A calibrated field of view may differ so much from the embodiment's, which a policy was trained for."""


def calibrations(option: str, cameras: tuple[CameraSpec, ...]) -> dict[str, CameraInfo]:
    """Camera name -> calibration, of "NAME=FILE, NAME=FILE"; FILE may begin with "file://".

    Raises SpecError for an unknown camera, a file that is no calibration, or one of another aspect ratio.
    """
    known = {camera.name: camera for camera in cameras}
    found = {}
    for name, path in _named(option, ",", "camera_info_urls", known):
        found[name] = read_calibration(Path(path.removeprefix("file://")).expanduser(), known[name])
    return found


def mounts(option: str, cameras: tuple[CameraSpec, ...]) -> dict[str, Mount]:
    """Camera name -> place, of "NAME=LINK X Y Z ROLL PITCH YAW; NAME=..." [m, rad]; SpecError otherwise."""
    known = {camera.name: camera for camera in cameras}
    found = {}
    for name, text in _named(option, ";", "camera_mounts", known):
        link, *words = text.split()
        try:
            x, y, z, roll, pitch, yaw = (float(word) for word in words)
        except ValueError:
            raise SpecError(f"camera_mounts of '{name}'", repr(text), "LINK X Y Z ROLL PITCH YAW [m, rad]") from None
        found[name] = Mount(link, (x, y, z), (roll, pitch, yaw))
    return found


def read_calibration(path: Path, camera: CameraSpec) -> CameraInfo:
    """Calibration in a YAML file as ROS's camera_calibration writes it, for images of the size that `camera` has.

    One made at another size of the same aspect ratio is scaled. Raises SpecError.
    """
    expected = "a file that camera_calibration wrote"
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
        height, width = int(data["image_height"]), int(data["image_width"])
        message = CameraInfo(height=camera.height, width=camera.width, distortion_model=str(data["distortion_model"]))
        message.d = [float(number) for number in data["distortion_coefficients"]["data"]]
        numbers = {part: [float(number) for number in data[part]["data"]] for part in PARTS}
    except (OSError, UnicodeDecodeError, yaml.YAMLError, KeyError, TypeError, ValueError) as error:
        raise SpecError(f"calibration {path}", f"{type(error).__name__}: {error}", expected) from error
    if wrong := [part for part, count in PARTS.items() if len(numbers[part]) != count]:
        raise SpecError(f"calibration {path}", f"{len(numbers[wrong[0]])} numbers in {wrong[0]}", expected)
    scale = camera.height / height if height else 0.0
    if scale <= 0.0 or abs(scale * width - camera.width) > 1.0:
        got, images = f"one of {width}x{height}", f"one of images of {camera.width}x{camera.height}, or of their aspect"
        raise SpecError(f"calibration {path}", got, images)
    k, p = numbers["camera_matrix"], numbers["projection_matrix"]
    message.k = [scale * number for number in k[:6]] + k[6:]
    message.r = numbers["rectification_matrix"]
    message.p = [scale * number for number in p[:8]] + p[8:]
    return message


def other_lens(found: Mapping[str, CameraInfo], cameras: tuple[CameraSpec, ...]) -> list[str]:
    """Warning for each calibration whose field of view differs from the embodiment's."""
    lines = []
    for camera in cameras:
        if (info := found.get(camera.name)) and info.k[4] > 0.0:
            fov_deg = math.degrees(2 * math.atan(camera.height / 2 / info.k[4]))
            if abs(fov_deg - camera.vertical_fov_deg) > FOV_DEG:
                lines.append(
                    f"camera {camera.name}: its calibration has a field of view of {fov_deg:.1f} degrees, the"
                    f" embodiment {camera.vertical_fov_deg:.1f}, which policies are told; the driver has an option"
                )
    return lines


def _named(option: str, separator: str, parameter: str, known: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for entry in filter(None, (one.strip() for one in option.split(separator))):
        name, equals, value = (word.strip() for word in entry.partition("="))
        if name not in known or not equals or not value:
            raise SpecError(parameter, repr(entry), f"NAME=... with NAME one of {', '.join(known) or 'no cameras'}")
        yield name, value
