"""What failed and came back moves nothing by itself: real processes, frozen and thawed, over DDS."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest
from ros_graph import PERIOD_S, Graph, wait_until
from test_faults import line

WATCH_S = 3.0
"""Longer than Fast DDS needs to send again what a frozen reader missed (its heartbeat period of 3 s began before)."""


def assert_nothing_begins(here: Graph, frozen_s: float) -> None:
    """No motion but of a decision that was on its way when the freeze began, and a robot at rest."""
    time.sleep(WATCH_S)
    assert here.watcher.began_s()[-1] <= frozen_s + PERIOD_S, "a motion began after what failed was back"
    assert not here.watcher.moving()


def assert_a_new_trial_moves(here: Graph) -> None:
    before, future = here.watcher.pose(), here.watcher.call_async("policy_node/run_trial")
    wait_until(lambda: here.watcher.pose()[0] > before[0] + 0.05, 20.0)
    here.watcher.call("policy_node/end_trial")
    wait_until(future.done, 20.0)


@pytest.mark.parametrize("for_s", [0.7, 2.0, 4.0])
def test_a_policy_node_that_was_frozen(tmp_path: Path, for_s: float) -> None:
    with line(tmp_path, heartbeat_timeout_s=0.4) as now:
        frozen_s = now.until_under_way()
        now.policy.send(signal.SIGSTOP)
        time.sleep(for_s)
        now.policy.send(signal.SIGCONT)
        assert_nothing_begins(now.graph, frozen_s)
        assert now.end()["reason"] in ("robot_failed", "policy_failed")  # the stop, or a late reply: what it saw first
        assert_a_new_trial_moves(now.graph)


def test_a_robot_node_that_was_frozen(tmp_path: Path) -> None:
    with line(tmp_path, heartbeat_timeout_s=0.4) as now:
        frozen_s = now.until_under_way()
        now.robot.send(signal.SIGSTOP)
        time.sleep(2.0)
        now.robot.send(signal.SIGCONT)
        assert_nothing_begins(now.graph, frozen_s)
        assert now.end()["reason"] == "robot_failed"
        assert_a_new_trial_moves(now.graph)


def test_a_supervisor_that_was_frozen(tmp_path: Path) -> None:
    with line(tmp_path, supervised=True) as now:
        now.graph.supervisor()
        frozen_s = now.until_under_way()
        supervisor = now.graph.processes["supervisor_node"]
        supervisor.send(signal.SIGSTOP)
        time.sleep(2.0)
        supervisor.send(signal.SIGCONT)
        assert_nothing_begins(now.graph, frozen_s)
        assert now.end()["reason"] == "robot_failed"
        assert_a_new_trial_moves(now.graph)


def test_a_permit_that_comes_late_fails_no_trial(tmp_path: Path) -> None:
    with line(tmp_path, supervised=True) as now:
        time.sleep(PERIOD_S)  # the trial was asked for before there is a supervisor
        now.graph.supervisor()
        now.until_under_way()
        assert now.graph.watcher.call("policy_node/end_trial").success
        assert now.end()["reason"] == "interrupted"
