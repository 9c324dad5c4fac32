"""Chunks without a pause over DDS: an arm behind ros2_control, driven by policy_node through robot_node."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest
from chunk_bundles import write_chunk_bundle
from fake_arm import FakeArm, fake_arm, joints
from ros_graph import Graph, graph, wait_until
from servers import ferry_serve

from robots.command import Chunk
from robots.embodiments.ros2_control_arms import UR5E
from robots.robot import Sent
from robots.spec import VectorSpec

pytest.importorskip("pinocchio", reason="the extra `arm` is not installed")

PAN, PERIOD_S, STEP = "shoulder_pan_joint", 0.1, 0.01


@pytest.fixture(scope="module")
def fake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakeArm]:
    with fake_arm(tmp_path_factory.mktemp("arm")) as running:
        yield running


def vector() -> VectorSpec:
    body = UR5E.embodiment((), True, False, 0.0)
    return next(chunk for chunk in body.chunks if PAN in chunk.names)


def test_the_driver_goes_on_to_the_end_of_the_second_chunk(fake: FakeArm) -> None:
    with fake.robot(cartesian=False) as robot:
        start, got = joints(robot), list[Sent]()
        names = vector().names

        def chunk(begin: float) -> Chunk:
            rows = tuple(
                tuple(begin + STEP * k if name == PAN else start[name] for name in names) for k in range(1, 21)
            )
            return Chunk(names, rows, PERIOD_S, joins=True)

        thread = threading.Thread(target=lambda: got.append(robot.execute(chunk(start[PAN]))))
        thread.start()
        wait_until(lambda: robot.following or got)
        wait_until(lambda: joints(robot)[PAN] > start[PAN] + 0.05)
        seen = robot.observe()
        here = dict(zip(robot.spec.state["joints"].names, seen.state["joints"].tolist()))[PAN]
        joined = robot.join(chunk(here), seen.stamp_ns)
        if joined.refused.startswith("late: "):  # this process was kept waiting for too long
            robot.stop()
            thread.join(15.0)
            pytest.skip(joined.refused)
        assert joined.executed, joined
        thread.join(15.0)
        if "asleep" in got[0].blocked:
            pytest.skip(got[0].blocked)
        assert got[0].executed, got
        assert joints(robot)[PAN] == pytest.approx(here + 20 * STEP, abs=0.02)


@pytest.fixture(scope="module")
def driven(fake: FakeArm, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Graph]:
    folder = tmp_path_factory.mktemp("joined")
    with fake.robot(cartesian=False) as robot:
        start = joints(robot)
    rows = np.array([[start[name] for name in vector().names]], np.float32).repeat(20, axis=0)
    there, back = rows.copy(), rows.copy()
    there[:, vector().names.index(PAN)] += 0.01
    write_chunk_bundle(folder / "bundle", vector(), np.stack([there, back]), control_period_s=4.0, horizon=1000)
    arm = {"arm.namespace": fake.namespace, "arm.cartesian": False, "arm.camera_topic": "", "arm.stale_s": 0.6}
    with graph(folder) as here, ferry_serve(folder / "bundle") as (url, _):
        robot_node = here.robot(robot="ros2_control_arm", publish_rate_hz=20.0, **arm, **{"control_period_s": 4.0})
        wait_until(lambda: here.watcher.stamps_ns, 60.0, robot_node)
        chunks = {"chunks": "join", "execute_rows": 4, "chunk_latency_s": 1.2}
        policy = here.policy(url, max_steps=6, server_timeout_s=3.0, **chunks)
        wait_until(lambda: here.watcher.heard("policy_node", "active"), 60.0, policy)
        yield here


def test_a_trial_joins_its_chunks(driven: Graph) -> None:
    for _ in range(3):
        count = len(driven.watcher.results)
        end = json.loads(driven.watcher.call("policy_node/run_trial", timeout_s=60.0).message)
        if end["reason"] != "late":  # as it is where the machine stalls again and again
            break
    assert (end["reason"], end["steps"]) == ("max_steps", 6), end
    results = driven.watcher.results[count:]
    done = [one for one in results if one.sent.executed]
    assert len(done) >= 4, [one.sent.refused or one.sent.blocked for one in results]  # a busy machine may be late twice
    began = np.diff([one.began_ns / 1e9 for one in done])
    assert np.median(began) < 0.7, "4 rows of 0.1 s, and no wait for rest"
    assert all(one.duration_s < 1.0 for one in done), "reported when it begins or joins, not at the end"


def test_a_stop_in_the_middle_ends_the_trial_and_the_arm_stops(driven: Graph) -> None:
    count = len(driven.watcher.results)
    trial = driven.watcher.call_async("policy_node/run_trial")
    wait_until(lambda: trial.done() or len([r for r in driven.watcher.results[count:] if r.sent.executed]) >= 3)
    if trial.done():
        pytest.skip(f"the machine is too busy: {trial.result().message}")
    assert driven.watcher.call("stop").success
    wait_until(trial.done)
    end = json.loads(trial.result().message)
    assert (end["reason"], "stop service" in end["message"]) == ("robot_failed", True), end
    count = len(driven.watcher.results)
    time.sleep(0.5)
    assert not [one for one in driven.watcher.results[count:] if one.sent.executed]
