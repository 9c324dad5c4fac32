"""The Piper twin has its cameras where the arm's table says."""

from __future__ import annotations

import numpy as np
import pytest

from robots.embodiments.piper import MOUNTS
from simulation.tabletop.piper_scene import scene_xml

mujoco = pytest.importorskip("mujoco")
pin = pytest.importorskip("pinocchio")


@pytest.mark.parametrize("name", MOUNTS)
def test_a_mount_is_where_the_scene_has_the_camera(name: str) -> None:
    model = mujoco.MjModel.from_xml_string(scene_xml(42.0))
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    camera, mount = data.camera(name), MOUNTS[name]
    link = data.body(mount.link) if mount.link != "base_link" else data.body("world")
    turn = link.xmat.reshape(3, 3)
    assert camera.xpos == pytest.approx(link.xpos + turn @ mount.xyz_m, abs=1e-6)
    ahead, left, up = (turn @ pin.rpy.rpyToMatrix(*mount.rpy_rad)).T
    right_up_back = camera.xmat.reshape(3, 3).T
    assert right_up_back == pytest.approx(np.stack([-left, up, -ahead]), abs=1e-3)
