"""The Piper's twin in real time: its motions take as long as the robot's, and a stop interrupts them."""

from __future__ import annotations

import threading
import time
from importlib.util import find_spec
from typing import Any

import pytest

from robots.command import MoveJoint
from robots.conformance import Options, run
from robots.embodiments.piper_urdf import TIP

if find_spec("mujoco") is None:  # not imported: the twin chooses its back-end first
    pytest.skip("the extra `sim` is not installed", allow_module_level=True)
pytest.importorskip("pinocchio", reason="the extra `arm` is not installed")

from simulation.tabletop.piper_twin import PiperTwin, PiperTwinOptions

CHECKS = (
    "joints_keep_their_speed",
    "joint_chunks_arrive",
    "cartesian_chunks_arrive",
    "stop_ends_a_joint_motion",
    "stop_ends_a_chunk",
)


def tip(positions: Any) -> tuple[float, float, float]:
    from robots.arms.kinematics import Kinematics
    from robots.embodiments.piper import PIPER_URDF
    from robots.embodiments.piper_urdf import ARM

    x, y, z = Kinematics(PIPER_URDF, ARM, TIP).forward([positions[name] for name in ARM])[0].tolist()
    return x, y, z


def test_it_conforms_in_real_time() -> None:
    spared = ("joint2", "joint3", "joint4", "joint6")
    options = Options(CHECKS, spared=spared, chunk_rows=4, settle_s=0.05, lag_s=0.0, long_step=0.5, stop_s=1.0, tip=tip)
    report = run(lambda: PiperTwin(PiperTwinOptions(60, 80, real_time=True, speed=0.5)), options)
    assert [result.status for result in report.results] == ["pass"] * len(CHECKS), report.results


def test_stop_interrupts_it_in_real_time() -> None:
    with PiperTwin(PiperTwinOptions(60, 80, real_time=True, speed=0.2)) as twin:
        timer = threading.Timer(0.4, twin.stop)
        timer.start()
        began = time.monotonic()
        sent = twin.execute(MoveJoint("joint1", 1.2))
        timer.join()
        assert sent.blocked == "stopped"
        assert time.monotonic() - began < 2.0
        assert 0.0 < float(twin.observe().state["joints"][0]) < 0.8
