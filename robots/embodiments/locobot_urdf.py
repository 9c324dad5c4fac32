"""The LoCoBot's moving camera as a URDF: base, pan, tilt and the lens; frames alone.

Source: Interbotix/interbotix_ros_rovers interbotix_xslocobot_descriptions/urdf [rover], and locobot.py beside this.
"""

from __future__ import annotations

from robots.embodiments.mount import Mount, Vector3

PAN_M: Vector3 = (-0.024 + 0.0472, 0.0, 0.0984 + 0.4443)  # [rover] tower on the floor's frame, then joint pan
TILT_M: Vector3 = (0.0250, 0.0, 0.019)  # [rover] joint tilt, in the pan link's frame
LENS_M: Vector3 = (0.05318, 0.0, 0.0)  # [rover] joint camera, in the tilt link's frame, at the colour sensor

PAN_LINK, TILT_LINK = "pan_link", "tilt_link"

MOUNT = Mount(TILT_LINK, LENS_M)
"""Where the lens is."""


def urdf(pan: str, tilt: str, ranges: dict[str, tuple[float, float]]) -> str:
    """URDF with the joints `pan` (about +z) and `tilt` (up positive); `ranges` are (low, high) [rad] by joint name."""
    parts = [
        '<robot name="locobot"><link name="base_link"/>',
        _turning(pan, "base_link", PAN_LINK, PAN_M, "0 0 1", ranges[pan]),
        _turning(tilt, PAN_LINK, TILT_LINK, TILT_M, "0 -1 0", ranges[tilt]),
        "</robot>",
    ]
    return "\n".join(parts)


def _turning(joint: str, parent: str, child: str, xyz: Vector3, axis: str, span: tuple[float, float]) -> str:
    place = " ".join(f"{number:.9g}" for number in xyz)
    return (
        f'<link name="{child}"/><joint name="{joint}" type="revolute"><origin xyz="{place}" rpy="0 0 0"/>'
        f'<parent link="{parent}"/><child link="{child}"/><axis xyz="{axis}"/>'
        f'<limit lower="{span[0]}" upper="{span[1]}" effort="1" velocity="3.14"/></joint>'
    )
