"""Descriptions of the robots as URDF, with the optical frames of their cameras; names of the URDF's joints."""

from __future__ import annotations

import math
from collections.abc import Mapping
from importlib import metadata

from robots.embodiment import Embodiment
from robots.embodiments import locobot, locobot_urdf, panda, stretch_re1
from robots.embodiments.mount import Mount
from robots.embodiments.piper import MOUNTS, PIPER, PIPER_URDF
from robots.embodiments.ros2_control_arms import ARMS
from robots.limits import GRIPPER_JOINT
from robots.spec import CameraSpec

BASE = "base_link"
STRETCH_PACKAGE = "hello-robot-stretch-urdf"
STRETCH_FOLDER = "stretch_urdf/RE1V0"
OPTICAL_RPY = f"{-math.pi / 2:.9g} 0 {-math.pi / 2:.9g}"  # z ahead, x to the right, y down (REP-103)


def description(body: Embodiment, mounts: Mapping[str, Mount] | None = None) -> str:
    """URDF of a robot: its links where Ferry has them, else `base_link` alone; then a frame for each camera.

    Args:
        body: one of the robots that ship, or any other.
        mounts: camera name -> where this very robot has it, beyond or instead of what the tables say. A camera that
            nobody's table places has no frame. Those of an arm are a choice until they are measured.
    """
    known = {**_mounts(body), **(mounts or {})}
    frames = (_camera(camera.name, known[camera.name]) for camera in body.cameras if camera.name in known)
    return _links(body).replace("</robot>", "\n".join((*frames, "</robot>")))


def is_measured(body: Embodiment) -> bool:
    """Whether the tables know where a robot's cameras are; beside an arm they are where somebody put them."""
    return body.name not in (PIPER.name, *ARMS)


def joint_positions(body: Embodiment, named: Mapping[str, float]) -> dict[str, float]:
    """Positions [m] or [rad] by the joints' names in the URDF, of the robot's numbers by their names.

    A gripper's aperture is no joint; a telescope is as many as the URDF has.
    """
    positions: dict[str, float] = {}
    for joint in body.joints:
        if joint != GRIPPER_JOINT and joint in named:
            parts = stretch_re1.TELESCOPE if joint == "joint_arm" else (joint,)
            positions.update(dict.fromkeys(parts, named[joint] / len(parts)))
    return positions


def camera_frames(camera: str) -> tuple[str, str]:
    """Names of a camera's frames: the one that looks along +x, and the optical one."""
    return f"{camera}_frame", optical_frame(camera)


def optical_frame(camera: str) -> str:
    """Name of a camera's optical frame."""
    return f"{camera}_optical_frame"


def _links(body: Embodiment) -> str:
    if body.name == PIPER.name:
        return PIPER_URDF
    if body.name in ARMS:
        return ARMS[body.name].urdf(GRIPPER_JOINT in body.joints)
    if body.name == locobot.LOCOBOT.name:
        ranges = {name: (joint.low, joint.high) for name, joint in locobot.JOINTS.items()}
        return locobot_urdf.urdf(locobot.PAN, locobot.TILT, ranges)
    return (_stretch() if body.name == stretch_re1.STRETCH_RE1.name else "") or (
        f'<robot name="{body.name}"><link name="{BASE}"/></robot>'
    )


def _stretch() -> str:
    """Hello Robot's own, where its package is installed, with its meshes where they are; else empty."""
    try:
        folder = metadata.distribution(STRETCH_PACKAGE).locate_file(STRETCH_FOLDER)
    except metadata.PackageNotFoundError:
        return ""
    with open(f"{folder}/stretch_description_RE1V0_tool_stretch_gripper.urdf", encoding="utf-8") as file:
        return file.read().replace('filename="./', f'filename="file://{folder}/')


def _mounts(body: Embodiment) -> dict[str, Mount]:
    tables: dict[str, dict[str, Mount]] = {
        stretch_re1.STRETCH_RE1.name: stretch_re1.MOUNTS,
        locobot.LOCOBOT.name: dict.fromkeys((camera.name for camera in locobot.LOCOBOT.cameras), locobot_urdf.MOUNT),
        PIPER.name: MOUNTS,
        panda.PANDA.name: panda.MOUNTS,
    }
    if body.name in ARMS:
        return {camera.name: ARMS[body.name].mount(camera.name) for camera in body.cameras}
    if body.name in tables:
        return tables[body.name]
    return {camera.name: mount for camera in body.cameras if (mount := _fixed(camera))}


def _fixed(camera: CameraSpec) -> Mount | None:
    """Mount above the base's centre of a camera that does not move."""
    if camera.height_m is None or camera.pitch_deg is None or camera.yaw_deg is None:
        return None
    return Mount(BASE, (0.0, 0.0, camera.height_m), (0.0, math.radians(camera.pitch_deg), math.radians(camera.yaw_deg)))


def _camera(name: str, mount: Mount) -> str:
    """A camera's frames, as ROS's camera drivers have them: one that looks along +x, and the optical one in it."""
    xyz, rpy = (" ".join(f"{number:.9g}" for number in three) for three in (mount.xyz_m, mount.rpy_rad))
    return (
        f'<link name="{name}_frame"/><link name="{optical_frame(name)}"/>'
        f'<joint name="{name}_joint" type="fixed"><origin xyz="{xyz}" rpy="{rpy}"/>'
        f'<parent link="{mount.link}"/><child link="{name}_frame"/></joint>'
        f'<joint name="{name}_optical_joint" type="fixed"><origin xyz="0 0 0" rpy="{OPTICAL_RPY}"/>'
        f'<parent link="{name}_frame"/><child link="{optical_frame(name)}"/></joint>'
    )
