"""Transforms from a URDF are those that Pinocchio computes."""

from __future__ import annotations

import numpy as np
import pytest
from ferry_ros.messages.link_frames import LinkFrames
from numpy.typing import NDArray

from robots.embodiment import Embodiment
from robots.embodiments.description import description
from robots.embodiments.locobot import LOCOBOT
from robots.embodiments.mount import Mount
from robots.embodiments.piper import PIPER
from robots.embodiments.ros2_control_arms import FR3
from robots.embodiments.stretch_re1 import STRETCH_RE1

pin = pytest.importorskip("pinocchio")

WRIST = {"wrist": Mount("link6", (-0.07, 0.0, 0.02), (0.1, -1.1, 0.2))}
ROBOTS = [STRETCH_RE1, LOCOBOT, PIPER, FR3.embodiment((), True, True, 0.0)]


@pytest.mark.parametrize("body", ROBOTS, ids=lambda body: body.name)
def test_every_link_is_where_pinocchio_has_it(body: Embodiment) -> None:
    urdf = description(body, WRIST if body is PIPER else None)
    model = pin.buildModelFromXML(urdf)
    rng, q, positions = np.random.default_rng(0), pin.neutral(model), {}
    for name, joint in zip(model.names[1:], model.joints[1:]):
        if joint.nq == 1:  # a wheel has two numbers and is not reported
            positions[name] = q[joint.idx_q] = rng.uniform(-0.5, 0.5)
    data = model.createData()
    pin.framesForwardKinematics(model, data, q)
    frames = LinkFrames(urdf, "left/")
    found = {one.child_frame_id: one for one in (*frames.fixed(5), *frames.moving(positions, 5))}
    assert len(found) >= len(positions) + len(body.cameras) * (body is not PIPER)
    for child in found:
        links, whole = [child], np.eye(4)
        while links[-1] in found:
            whole = matrix(found[links[-1]].transform) @ whole
            links.append(found[links[-1]].header.frame_id)
        if links[-1] == "left/base_link":
            there = data.oMf[model.getFrameId(child.removeprefix("left/"), pin.FrameType.BODY)]
            assert whole == pytest.approx(there.homogeneous, abs=1e-7), child
        else:
            assert "wheel" in links[-1], "all else hangs on the base"


def matrix(transform: object) -> NDArray[np.float64]:
    place, turn = transform.translation, transform.rotation  # type: ignore[attr-defined]
    numbers = np.array([place.x, place.y, place.z, turn.x, turn.y, turn.z, turn.w])
    pose: NDArray[np.float64] = pin.XYZQUATToSE3(numbers).homogeneous
    return pose
