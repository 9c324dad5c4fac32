"""Mount: where a camera is on its robot."""

from __future__ import annotations

from dataclasses import dataclass

Vector3 = tuple[float, float, float]


@dataclass(frozen=True)
class Mount:
    """Place of a camera on a link of the robot's URDF.

    Attributes:
        link: the link that it is fixed to.
        xyz_m: of its lens, in that link's frame.
        rpy_rad: roll, pitch, yaw of the frame that looks along +x with +z up (REP-103), as in a URDF; a positive pitch
            looks down.
    """

    link: str
    xyz_m: Vector3
    rpy_rad: Vector3 = (0.0, 0.0, 0.0)
