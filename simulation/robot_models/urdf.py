"""URDF reader for MuJoCo models: links, joints, inertias, one visual mesh per link."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]

MIN_INERTIA_KG_M2 = 1e-6
"""Principal moments are raised to this: some links of the published RE1 carry zero or non-positive-definite inertia."""


@dataclass(frozen=True)
class Visual:
    """A mesh of a link, in the link's frame."""

    path: Path
    scale: Vector
    rgba: Vector
    position_m: Vector
    quaternion: Vector


@dataclass(frozen=True)
class Link:
    """A rigid part: mass, centre of mass, inertia as (xx, yy, zz, xy, xz, yz) about it, and visual mesh."""

    name: str
    mass_kg: float
    centre_m: Vector
    inertia_kg_m2: Vector
    visuals: tuple[Visual, ...]


@dataclass(frozen=True)
class Joint:
    """Joint between ``parent`` and ``child``; ``kind`` is URDF's (fixed, revolute, prismatic, continuous)."""

    name: str
    kind: str
    parent: str
    child: str
    position_m: Vector
    quaternion: Vector
    axis: Vector
    range: tuple[float, float]


def read_urdf(path: Path) -> tuple[dict[str, Link], list[Joint]]:
    """Returns the links by name and the joints of a URDF file."""
    root = ET.parse(path).getroot()
    links = [_link(element, path.parent) for element in root.findall("link")]
    return {link.name: link for link in links}, [_joint(element) for element in root.findall("joint")]


def _link(element: ET.Element, folder: Path) -> Link:
    visuals = tuple(_visual(v, folder) for v in element.findall("visual") if v.find("geometry/mesh") is not None)
    inertial = element.find("inertial")
    if inertial is None:
        return Link(element.get("name", ""), 0.0, np.zeros(3), np.zeros(6), visuals)
    inertia = _child(inertial, "inertia")
    values = {key: float(inertia.get(key, "0")) for key in ("ixx", "iyy", "izz", "ixy", "ixz", "iyz")}
    return Link(
        name=element.get("name", ""),
        mass_kg=float(_child(inertial, "mass").get("value", "0")),
        centre_m=_origin(inertial)[0],
        inertia_kg_m2=_repaired(values),
        visuals=visuals,
    )


def _visual(element: ET.Element, folder: Path) -> Visual:
    mesh = _child(element, "geometry/mesh")
    color = element.find("material/color")
    position_m, quaternion = _origin(element)
    return Visual(
        path=folder / mesh.get("filename", ""),
        scale=_floats(mesh.get("scale", "1 1 1")),
        rgba=_floats(color.get("rgba", "")) if color is not None else np.array([0.1, 0.1, 0.1, 1.0]),
        position_m=position_m,
        quaternion=quaternion,
    )


def _joint(element: ET.Element) -> Joint:
    axis, limit = element.find("axis"), element.find("limit")
    position_m, quaternion = _origin(element)
    return Joint(
        name=element.get("name", ""),
        kind=element.get("type", "fixed"),
        parent=_child(element, "parent").get("link", ""),
        child=_child(element, "child").get("link", ""),
        position_m=position_m,
        quaternion=quaternion,
        axis=_floats(axis.get("xyz", "1 0 0")) if axis is not None else np.array([1.0, 0.0, 0.0]),
        range=(float(limit.get("lower", "0")), float(limit.get("upper", "0"))) if limit is not None else (0.0, 0.0),
    )


def _child(element: ET.Element, path: str) -> ET.Element:
    found = element.find(path)
    if found is None:
        raise ValueError(f"URDF <{element.tag} {element.attrib}>: expected a <{path}> inside")
    return found


def _origin(element: ET.Element) -> tuple[Vector, Vector]:
    origin = element.find("origin")
    if origin is None:
        return np.zeros(3), np.array([1.0, 0.0, 0.0, 0.0])
    return _floats(origin.get("xyz", "0 0 0")), rpy_quaternion(_floats(origin.get("rpy", "0 0 0")))


def _floats(text: str) -> Vector:
    return np.array([float(word) for word in text.split()])


def rpy_quaternion(rpy_rad: Vector) -> Vector:
    """Returns (w, x, y, z) for URDF's fixed-axis roll, pitch, yaw."""
    (cr, cp, cy), (sr, sp, sy) = np.cos(rpy_rad / 2), np.sin(rpy_rad / 2)
    return np.array(
        [
            cr * cp * cy + sr * sp * sy,
            sr * cp * cy - cr * sp * sy,
            cr * sp * cy + sr * cp * sy,
            cr * cp * sy - sr * sp * cy,
        ]
    )


def _repaired(values: dict[str, float]) -> Vector:
    """Returns a physical inertia nearest to the given one: positive, and each moment at most the sum of the others."""
    xx, yy, zz, xy, xz, yz = (values[key] for key in ("ixx", "iyy", "izz", "ixy", "ixz", "iyz"))
    moments, axes = np.linalg.eigh(np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]]))
    moments = np.maximum(moments, MIN_INERTIA_KG_M2)
    moments[2] = min(moments[2], 0.999 * (moments[0] + moments[1]))
    inertia: Vector = axes @ np.diag(moments) @ axes.T
    return np.asarray(inertia[[0, 1, 2, 0, 0, 1], [0, 1, 2, 1, 2, 2]])
