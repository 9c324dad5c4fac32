"""An arm behind ros2_control, over DDS, against the fake of its controllers in a process of its own."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from fake_arm import FakeArm, during, fake_arm, joints
from ferry_ros import robot_registry
from ferry_ros.drivers.joint_feedback import JointFeedback
from ferry_ros.drivers.ros2_control.driver import Ros2ControlArm
from ferry_ros.drivers.ros2_control.gripper import ActionGripper
from ferry_ros.drivers.ros2_control.motion import ArmTuning
from ros_graph import ROOT, wait_until

from robots.arms.action_chunks import POSE
from robots.arms.kinematics import Kinematics
from robots.arms.planner import ArmPlanner
from robots.arms.trajectory import Trajectory, through, towards
from robots.command import Chunk, Done, Grasp, JointTarget, LookAt, MoveBase, MoveJoint, Release, SetGripper, Stop
from robots.conformance import Options, run
from robots.embodiments.ros2_control_arms import FR3, UR5E
from robots.errors import ConnectionFailed, NotConnected, RobotError
from robots.limits import GRIPPER_JOINT

PAN, LIFT = "shoulder_pan_joint", "shoulder_lift_joint"


@pytest.fixture(scope="module")
def fake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakeArm]:
    with fake_arm(tmp_path_factory.mktemp("arm")) as running:
        yield running


@pytest.fixture(scope="module")
def robot(fake: FakeArm) -> Iterator[Ros2ControlArm]:
    with fake.robot(speed=0.3) as connected:
        yield connected


@pytest.fixture(scope="module")
def undriven(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakeArm]:
    with fake_arm(tmp_path_factory.mktemp("undriven")) as running:
        yield running


def test_it_is_a_body_of_the_robot_node() -> None:
    body = robot_registry.body("ros2_control_arm")
    made = body.create(body.options())
    assert (body.prefix, made.spec.name) == ("arm.", "ur5e")
    assert made.health().fault == "not connected: connect() was not called"
    with pytest.raises(NotConnected):
        made.observe()
    with pytest.raises(NotConnected):
        made.execute(Stop())


def test_one_motion_of_each_kind_ends_where_it_says(robot: Ros2ControlArm) -> None:
    start = joints(robot)
    assert robot.execute(MoveJoint(PAN, 0.1)).executed
    assert joints(robot)[PAN] == pytest.approx(start[PAN] + 0.1, abs=0.01)
    assert robot.execute(JointTarget((PAN, LIFT), (start[PAN], start[LIFT] + 0.1))).executed
    assert joints(robot)[LIFT] == pytest.approx(start[LIFT] + 0.1, abs=0.01)
    assert robot.execute(JointTarget(tuple(start), tuple(start.values()))).executed
    assert robot.execute(SetGripper(0.03)).executed
    assert joints(robot)[GRIPPER_JOINT] == pytest.approx(0.03, abs=0.003)
    assert robot.execute(SetGripper(start[GRIPPER_JOINT])).executed
    assert robot.execute(Done()).executed
    assert robot.execute(Stop()).executed
    after = joints(robot)
    assert [after[name] for name in start] == pytest.approx(list(start.values()), abs=0.01)


def test_a_chunk_of_poses_leads_the_fingertips_and_the_gripper(fake: FakeArm, robot: Ros2ControlArm) -> None:
    start = joints(robot)
    kinematics = Kinematics(UR5E.urdf(True), tuple(UR5E.joints), "tip")
    before, _ = kinematics.forward([start[name] for name in UR5E.joints])
    rows = tuple((0.005, 0.0, -0.01, 0.0, 0.0, 0.02, share) for share in (1.0, 1.0, 0.5, 0.5))
    sent = robot.execute(Chunk((*POSE, "gripper"), rows, 0.2))
    assert sent.executed, sent
    after = joints(robot)
    position, _ = kinematics.forward([after[name] for name in UR5E.joints])
    assert (position - before).tolist() == pytest.approx([0.02, 0.0, -0.04], abs=0.003)
    assert after[GRIPPER_JOINT] == pytest.approx(0.5 * UR5E.gripper.aperture_m, abs=0.003)
    assert robot.execute(JointTarget(tuple(start), tuple(start.values()))).executed


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        (MoveBase(0.1), "ur5e has no base"),
        (LookAt(0.0, 0.0), "ur5e has no joint 'joint_head_pan'"),
        (Grasp(), "ur5e cannot grasp"),
        (Release(), "ur5e cannot release"),
        (Chunk((*POSE, "gripper"), ((0.2,) + (0.0,) * 6,), 0.5), "jump: row 0 of delta_x is 0.2000"),
        (
            Chunk((*POSE, "gripper"), ((0.0, 0.0, -0.05, 0.0, 0.0, 0.0, 1.0),) * 12, 0.5),
            "out of workspace: the fingertips at",
        ),
        (Chunk((*POSE, "gripper"), ((0.05,) + (0.0,) * 5 + (1.0,),) * 9, 0.5), "unreachable: "),
        (JointTarget((LIFT,), (0.6,)), "out of workspace: the fingertips at "),
    ],
    ids=lambda one: type(one).__name__ if not isinstance(one, str) else "",
)
def test_what_it_cannot_do_is_refused_by_name_and_moves_nothing(
    robot: Ros2ControlArm, command: object, reason: str
) -> None:
    before = joints(robot)
    sent = robot.execute(command)  # type: ignore[arg-type]
    assert reason in sent.refused, sent
    assert joints(robot) == before


def test_a_part_that_was_computed_before_a_sleep_is_not_sent_after_it(
    robot: Ros2ControlArm, monkeypatch: pytest.MonkeyPatch
) -> None:
    part, at_rest, calls = ArmPlanner.part, [], itertools.count()

    def slow(planner: ArmPlanner, *args: float) -> Trajectory:
        if next(calls) == 1:
            time.sleep(1.6)  # as a SIGSTOP does: the arm comes to rest at the end of the part that it has
            at_rest.append(joints(robot)[PAN])
        return part(planner, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(ArmPlanner, "part", slow)
    began = joints(robot)[PAN]
    sent = robot.execute(MoveJoint(PAN, 1.5))
    assert sent.blocked.startswith("asleep")
    assert joints(robot)[PAN] == pytest.approx(at_rest[0], abs=0.003)
    assert 0.1 < at_rest[0] - began < 1.4
    assert robot.execute(MoveJoint(PAN, began - at_rest[0])).executed


def test_the_gripper_stops_at_what_it_holds_and_keeps_it(fake: FakeArm, tmp_path: Path) -> None:
    with fake_arm(tmp_path, object_m=0.04) as holding, holding.robot() as robot:
        assert robot.execute(SetGripper(0.0)).executed
        assert joints(robot)[GRIPPER_JOINT] == pytest.approx(0.04, abs=0.002)
        robot.stop()
        assert robot.execute(MoveJoint(PAN, 0.05)).executed
        assert joints(robot)[GRIPPER_JOINT] == pytest.approx(0.04, abs=0.002)


def test_fingers_that_nobody_measured_for_a_while_do_not_count_as_closed_on_something(tmp_path: Path) -> None:
    with fake_arm(tmp_path, object_m=0.04) as holding, holding.robot() as robot:

        def stall() -> None:
            holding.process.send(signal.SIGSTOP)
            time.sleep(0.45)  # longer than fingers have to stand, shorter than feedback may be old
            holding.process.send(signal.SIGCONT)

        sent = during(robot, SetGripper(0.0), lambda: joints(robot)[GRIPPER_JOINT] < 0.07, stall)
        if sent.executed:  # else the machine made the stall longer: stale
            assert joints(robot)[GRIPPER_JOINT] == pytest.approx(0.04, abs=0.002)


def test_a_gripper_behind_an_action_opens_closes_holds_and_keeps(tmp_path: Path) -> None:
    with (
        fake_arm(tmp_path, gripper_action=True, object_m=0.02) as fake,
        fake.robot(gripper_controller="action") as robot,
    ):
        assert robot.execute(SetGripper(0.05)).executed
        assert joints(robot)[GRIPPER_JOINT] == pytest.approx(0.05, abs=0.003)
        rows = tuple((*(0.0,) * 6, share) for share in (0.5, 0.4, 0.9, 0.9))
        assert robot.execute(Chunk((*POSE, "gripper"), rows, 0.2)).executed
        assert joints(robot)[GRIPPER_JOINT] == pytest.approx(0.9 * UR5E.gripper.aperture_m, abs=0.003)
        sent = during(robot, SetGripper(0.0), lambda: joints(robot)[GRIPPER_JOINT] < 0.06, robot.stop)
        assert sent.blocked == "stopped"
        at_rest = joints(robot)[GRIPPER_JOINT]
        time.sleep(0.3)
        assert joints(robot)[GRIPPER_JOINT] == pytest.approx(at_rest, abs=0.003)
        assert robot.execute(SetGripper(0.0)).executed
        assert joints(robot)[GRIPPER_JOINT] == pytest.approx(0.02, abs=0.002)
        assert robot.health().fault == ""


def test_an_arm_without_cameras_is_observed(undriven: FakeArm) -> None:
    with undriven.robot(camera_topic="") as robot:
        first, second = robot.observe(), robot.observe()
        assert dict(second.images) == {}
        assert second.stamp_ns > first.stamp_ns


def test_a_gripper_whose_process_did_not_run_gets_no_goal_when_it_is_back(
    fake: FakeArm, monkeypatch: pytest.MonkeyPatch
) -> None:
    asleep, goals = threading.Event(), list[float]()

    def aperture() -> float:
        if asleep.is_set():
            time.sleep(0.8)  # as a SIGSTOP does
            asleep.clear()
        return 0.05

    gripper = ActionGripper(fake.link.node, UR5E.gripper, "nobody/cmd", aperture)
    monkeypatch.setattr(gripper, "_goal", goals.append)
    gripper.send(through([0.05], [[0.03], [0.08]], 0.5, [0.2]), 0.0, 1.0, 0.0)
    asleep.set()
    wait_until(lambda: not asleep.is_set())
    time.sleep(0.5)
    assert goals == [pytest.approx(0.03, abs=0.005)]  # not the one that was due while it did not run


def test_a_stop_of_an_action_gripper_comes_last(fake: FakeArm, monkeypatch: pytest.MonkeyPatch) -> None:
    readings, goals = itertools.count(), []  # it moves all the time
    gripper = ActionGripper(fake.link.node, UR5E.gripper, "nobody/cmd", lambda: 0.085 - 0.002 * next(readings))
    sending, go = threading.Event(), threading.Event()

    def slowly(aperture_m: float) -> None:
        sending.set()
        go.wait(2.0)
        goals.append(aperture_m)

    monkeypatch.setattr(gripper, "_goal", slowly)
    wait_until(lambda: gripper._before[0] > 0)  # its timer looked
    closing = threading.Thread(target=gripper.send, args=(towards([0.05], [0.0], [0.1], 1.0), 0.0, 1.0, 0.0))
    closing.start()
    assert sending.wait(2.0)
    stop = threading.Thread(target=gripper.hold, args=(0.04,))
    stop.start()
    time.sleep(0.05)
    go.set()
    closing.join()
    stop.join()
    assert len(goals) == 2
    assert goals[0] == 0.0 < goals[1]  # where it was at the stop


def test_an_arm_whose_driver_was_killed_comes_to_rest_on_its_path(tmp_path: Path) -> None:
    script = """
import sys
from ferry_ros.drivers.ros2_control.driver import Ros2ControlArm, Ros2ControlArmOptions
from robots.command import JointTarget
with Ros2ControlArm(Ros2ControlArmOptions(namespace=sys.argv[1], camera_topic="", speed=0.2, stale_s=3.0)) as robot:
    print("moving", flush=True)
    print(robot.execute(JointTarget(("shoulder_pan_joint",), (3.0,))), flush=True)
"""
    with fake_arm(tmp_path) as fake:
        path = os.pathsep.join((str(ROOT), str(ROOT / "ros2_ws" / "src" / "ferry_ros")))
        environment = {**os.environ, "PYTHONPATH": path}
        driver = subprocess.Popen([sys.executable, "-c", script, fake.namespace], env=environment)
        seen = JointFeedback(fake.link.node, "joint_states", {PAN: UR5E.possible(False)[PAN]})
        try:
            wait_until(lambda: seen.positions().get(PAN, 0.0) > 0.3, 20.0)
        finally:
            driver.kill()
            driver.wait()
        killed_at = seen.positions()[PAN]
        wait_until(lambda: abs(seen.velocities()[PAN]) < 1e-6)
        tuning = ArmTuning()
        most = 0.2 * UR5E.joints[PAN].max_speed * (tuning.window_s + tuning.renew_s)
        assert 0.0 < seen.positions()[PAN] - killed_at < most
        assert seen.positions()[PAN] < 2.0  # far from its target


def test_stop_ends_a_chunk_within_the_deceleration(robot: Ros2ControlArm) -> None:
    start = joints(robot)
    names = robot.spec.chunks[0].names
    rows = tuple(
        tuple(start[name] + (0.05 * number if name == PAN else 0.0) for name in names) for number in range(1, 21)
    )
    began = time.monotonic()
    sent = during(robot, Chunk(names, rows, 0.1), lambda: abs(joints(robot)[PAN] - start[PAN]) > 0.1, robot.stop)
    assert sent.blocked == "stopped"
    assert time.monotonic() - began < 2.0
    at_rest = joints(robot)[PAN]
    assert 0.1 < at_rest - start[PAN] < 0.5
    time.sleep(0.3)
    assert joints(robot)[PAN] == pytest.approx(at_rest, abs=0.003)
    assert robot.execute(JointTarget((PAN,), (start[PAN],))).executed  # the stop holds nothing back


def test_an_estop_ends_the_motion_is_reported_and_released(fake: FakeArm, robot: Ros2ControlArm) -> None:
    start = joints(robot)
    target = JointTarget((PAN,), (start[PAN] + 0.6,))
    sent = during(robot, target, lambda: joints(robot)[PAN] > start[PAN] + 0.05, lambda: fake.set(estop=True))
    assert sent.blocked.startswith("e-stop: io_and_status_controller/robot_program_running")
    assert robot.health().runstop
    assert robot.health().fault.startswith("e-stop: ")
    assert robot.execute(target).refused.startswith("e-stop: ")
    fake.set(estop=False)
    wait_until(lambda: not robot.health().fault)
    assert robot.execute(JointTarget((PAN,), (start[PAN],))).executed


def test_a_controller_that_follows_nothing_is_noticed(tmp_path: Path) -> None:
    with fake_arm(tmp_path, arm="fr3") as silent, silent.robot(connect_timeout_s=5.0) as robot:
        silent.set(estop=True)  # an FR3 does not tell
        sent = robot.execute(MoveJoint("fr3_joint1", 0.2))
        assert sent.blocked.startswith("not followed: the arm did not move and is 0.200 rad from its target; is its")
        assert not robot.health().fault


def test_lost_feedback_is_a_fault_and_nothing_is_done_after_it_is_back(fake: FakeArm, robot: Ros2ControlArm) -> None:
    start = joints(robot)
    target = JointTarget((PAN,), (start[PAN] + 0.6,))
    sent = during(robot, target, lambda: joints(robot)[PAN] > start[PAN] + 0.05, lambda: fake.set(lost=True))
    assert sent.blocked.startswith("feedback stale: joint_states is 0.")
    assert robot.health().fault.startswith("feedback stale: ")
    with pytest.raises(RobotError, match=r"camera lost|camera frozen|feedback stale"):
        robot.observe()
    fake.set(lost=False)
    wait_until(lambda: not robot.health().fault)
    back = joints(robot)[PAN]
    time.sleep(0.3)
    assert joints(robot)[PAN] == pytest.approx(back, abs=0.003)
    assert robot.execute(JointTarget((PAN,), (start[PAN],))).executed


def test_a_frozen_camera_is_a_fault(fake: FakeArm, robot: Ros2ControlArm) -> None:
    fake.set(freeze_camera=True)
    wait_until(lambda: robot.health().fault.startswith("camera frozen: external"))
    with pytest.raises(RobotError, match="camera frozen"):
        [robot.observe() for _ in range(3)]
    fake.set(freeze_camera=False)
    wait_until(lambda: not robot.health().fault)
    assert robot.observe().images["external"].shape == (48, 64, 3)


def test_a_driver_killed_during_a_motion_is_reported_and_comes_back(tmp_path: Path) -> None:
    with fake_arm(tmp_path, camera_topics="camera/color/image_raw,wrist/image_raw") as fake:
        robot = fake.robot(speed=0.3, camera2_topic="wrist/image_raw", camera2_height=48, camera2_width=64)
        with robot:
            assert set(robot.observe().images) == {"external", "wrist"}
            target = JointTarget((PAN,), (0.8,))
            sent = during(robot, target, lambda: joints(robot)[PAN] > 0.05, lambda: fake.process.send(signal.SIGKILL))
            assert sent.blocked.startswith(("feedback stale: ", "controller lost: "))
            assert robot.execute(target).refused.startswith(("feedback stale: ", "controller lost: "))
            fake.process.end()
            fake.start()
            wait_until(lambda: not robot.health().fault, 20.0)
            assert joints(robot)[PAN] == pytest.approx(0.0, abs=0.01)  # nothing of before is executed
            assert robot.execute(MoveJoint(PAN, 0.05)).executed


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (
            {"joint_states_topic": "nowhere"},
            "ur5e: nowhere does not publish shoulder_pan_joint, .* is the arm's driver",
        ),
        ({"controller": "other"}, "ur5e: controller lost: no node subscribes to .*/other/joint_trajectory; is that"),
        ({"camera_topic": "dark"}, "no image of camera 'external' on dark within 2.0 s; is its driver running"),
        ({"gripper_controller": "none_here"}, "controller lost: no node subscribes to .*/none_here/joint_trajectory"),
    ],
)
def test_a_missing_part_is_named_at_connect(undriven: FakeArm, options: dict[str, str], reason: str) -> None:
    robot = undriven.robot(**options, connect_timeout_s=2.0)
    with pytest.raises(ConnectionFailed, match=reason):
        robot.connect()
    assert robot.health().fault == "not connected: connect() was not called"


def test_two_drivers_of_one_arm_are_refused(fake: FakeArm, robot: Ros2ControlArm) -> None:
    with pytest.raises(ConnectionFailed, match="is driven by another process"):
        fake.robot().connect()


@pytest.mark.slow
def test_conformance(tmp_path: Path) -> None:
    kinematics = Kinematics(FR3.urdf(True), tuple(FR3.joints), "tip")

    def tip(at: dict[str, float]) -> tuple[float, float, float]:
        position = kinematics.forward(np.array([at[name] for name in FR3.joints]))[0]
        return float(position[0]), float(position[1]), float(position[2])

    with fake_arm(tmp_path, arm="fr3") as fake:
        report = run(
            lambda: fake.robot(speed=0.3),
            Options(exclusive=True, tip=tip, settle_s=0.1, lag_s=0.02),  # type: ignore[arg-type]
            slow=lambda: fake.robot(speed=0.1),
        )
    assert report.ok, str(report)
