"""The whole line over DDS: real processes, a kinematic body, a real policy server."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from bundles import write_tiny_bundle
from ros_graph import PERIOD_S, graph, wait_until
from servers import ferry_serve


def test_a_trial_over_ros(tmp_path: Path) -> None:
    write_tiny_bundle(tmp_path / "bundle", script=("move_ahead", "rotate_left", "done"), control_period_s=PERIOD_S)
    with ferry_serve(tmp_path / "bundle") as (url, _), graph(tmp_path) as here:
        robot = here.robot()
        policy = here.policy(url)
        answer = here.watcher.call("policy_node/run_trial", timeout_s=30.0)
        print(policy.text(), robot.text())
        assert answer.success, answer.message
        end = json.loads(answer.message)
        assert (end["reason"], end["steps"]) == ("done", 3)
        wait_until(lambda: here.watcher.pose() == pytest.approx((0.2, 0.0, math.radians(30)), abs=1e-6))
