"""What goes wrong with a Stretch, planted in the fake: a clear message each, and a robot at rest."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

import pytest
from support.stretch_fake import RunningFake, needs_sdk, running_fake

from robots.command import Command, MoveBase, MoveJoint
from robots.drivers.stretch import sdk
from robots.drivers.stretch.driver import StretchOptions, StretchRE1
from robots.errors import ConnectionFailed, RobotError
from robots.robot import Sent

pytestmark = needs_sdk


@pytest.fixture(scope="module")
def fake() -> Iterator[RunningFake]:
    with running_fake("--lift-m", "0.4") as running:
        yield running


@pytest.fixture
def robot(fake: RunningFake) -> Iterator[StretchRE1]:
    with StretchRE1(fake.options()) as connected:
        yield connected
    fake.tell("clear")
    fake.tell("voltage 12.4")
    fake.tell("runstop off")


def moved(robot: StretchRE1, command: Command, meanwhile: Callable[[], Any]) -> Sent:
    """What became of `command` when something happened while it ran."""
    sents: list[Sent] = []
    thread = threading.Thread(target=lambda: sents.append(robot.execute(command)))
    thread.start()
    meanwhile()
    thread.join(15.0)
    assert sents, "execute() did not return"
    return sents[0]


def until_health(robot: StretchRE1, word: str) -> str:
    """The first fault that begins with `word`."""
    deadline = time.monotonic() + 5.0
    while not robot.health().fault.startswith(word):
        assert time.monotonic() < deadline, robot.health()
        time.sleep(0.02)
    return robot.health().fault


def test_guarded_contact_ends_a_lift_step(fake: RunningFake, robot: StretchRE1) -> None:
    fake.tell("contact lift=0.43")
    sent = robot.execute(MoveJoint("joint_lift", 0.1))
    assert sent.blocked.startswith("contact: joint_lift pushes against something at 0.430")
    assert not fake.state()["moving"]
    fake.tell("clear")
    assert robot.execute(MoveJoint("joint_lift", -0.03)).executed


@pytest.mark.parametrize("side", ["ahead", "behind"])
def test_base_that_meets_something_stops_there(fake: RunningFake, robot: StretchRE1, side: str) -> None:
    sign = 1 if side == "ahead" else -1
    begin = fake.state()["travelled_m"]
    fake.tell(f"contact base={sign * 0.05}")
    sent = robot.execute(MoveBase(sign * 0.15))
    assert sent.blocked.startswith("contact: the base ")
    assert fake.state()["travelled_m"] - begin == pytest.approx(sign * 0.05, abs=0.005)
    fake.tell("clear")
    assert robot.execute(MoveBase(-sign * 0.05)).executed


def test_runstop_ends_a_motion_and_refuses_the_next(fake: RunningFake, robot: StretchRE1) -> None:
    def press() -> None:
        fake.until("moving")
        fake.tell("runstop on")

    sent = moved(robot, MoveBase(0.2), press)
    assert sent.blocked == "runstop: the robot's runstop is on"
    assert not fake.state()["moving"]
    assert robot.health().runstop
    at_rest = fake.state()
    assert robot.execute(MoveBase(0.1)).refused.startswith("runstop")
    fake.tell("runstop off")
    time.sleep(0.3)
    assert fake.state()["travelled_m"] == at_rest["travelled_m"]  # nothing resumes by itself
    assert robot.execute(MoveBase(-0.02)).executed


@pytest.mark.parametrize("part", ["lift", "base"])
def test_what_a_board_cannot_have_measured_ends_a_motion_and_is_not_believed(
    fake: RunningFake, robot: StretchRE1, part: str
) -> None:
    robot.execute(MoveJoint("joint_lift", 0.4 - fake.state()["lift"]))
    command = MoveJoint("joint_lift", 0.1) if part == "lift" else MoveBase(0.1)
    begin = fake.state()

    def meanwhile() -> None:
        fake.until("moving")
        fake.tell(f"misread {part}=0.3")

    sent = moved(robot, command, meanwhile)
    try:
        assert sent.blocked.startswith("feedback jumps: ")
        fake.until("moving", False)
        assert fake.state()["lift"] - begin["lift"] < 0.12
        assert fake.state()["travelled_m"] - begin["travelled_m"] < 0.12
    finally:
        fake.tell(f"misread {part}=0")
    time.sleep(0.5)  # until it is measured again, which may be one more jump
    deadline = time.monotonic() + 5.0
    while robot.health().fault:
        assert time.monotonic() < deadline, robot.health()
    assert robot.execute(MoveJoint("joint_head_pan", 0.1)).executed


def test_low_battery_trips_the_runstop(fake: RunningFake, robot: StretchRE1) -> None:
    fake.tell("voltage 10.3")
    deadline = time.monotonic() + 10.0
    while (health := robot.health()) and (health.battery, health.runstop) != (0.0, True):
        assert time.monotonic() < deadline, health


def test_overloaded_servo_is_named() -> None:
    with running_fake() as fake, StretchRE1(fake.options()) as robot:
        fake.tell("overload wrist_yaw")
        fault = until_health(robot, "servo error")
        assert "wrist_yaw: overload_error; reboot it" in fault
        assert robot.execute(MoveBase(0.1)).refused == fault


@pytest.mark.parametrize("fault", ["silent", "killed"])
def test_robot_that_is_lost_in_a_motion(fault: str) -> None:
    with running_fake() as fake, StretchRE1(fake.options(feedback_stale_s=0.5)) as robot:

        def lose() -> None:
            fake.until("moving")
            if fault == "killed":
                fake.kill()
            else:
                fake.tell("silent on")

        sent = moved(robot, MoveJoint("joint_lift", 0.1), lose)
        assert sent.blocked.startswith("feedback stale: hello-")
        assert "is the robot switched on?" in robot.health().fault
        with pytest.raises(RobotError, match=r"feedback stale|synthetic:"):
            robot.observe()
        assert robot.execute(MoveBase(0.1)).refused.startswith("feedback stale")
        began = time.monotonic()
        robot.stop()
        assert time.monotonic() - began < 1.5


def test_frozen_camera_is_named(fake: RunningFake) -> None:
    with StretchRE1(fake.options(camera_frozen_s=0.4)) as robot:
        robot.observe()
        fake.tell("freeze_camera on")
        fault = until_health(robot, "camera frozen")
        fake.tell("freeze_camera off")
        assert "synthetic:" in fault


def test_robot_that_is_not_homed_does_not_connect() -> None:
    with running_fake("--no-homed") as fake:
        message = r"not homed: lift, arm, stretch_gripper, wrist_yaw; .* run stretch_robot_home\.py"
        with pytest.raises(ConnectionFailed, match=message):
            StretchRE1(fake.options()).connect()
        before = fake.state()
        time.sleep(0.2)
        assert fake.state() == before  # nothing moved


def test_homing_by_the_sdk_makes_it_ready() -> None:
    with running_fake("--no-homed", "--arm-m", "0.03", "--wrist-yaw-rad", "4.2") as fake:
        robot = sdk.load(fake.robot)
        try:
            sdk.start(robot, fake.robot)
            robot.arm.home()
            robot.end_of_arm.motors["wrist_yaw"].home()
            assert sdk.not_homed(robot) == ["lift", "stretch_gripper"]
        finally:
            sdk.end(robot)
        assert fake.state()["arm"] == pytest.approx(0.1, abs=0.01)  # where homing leaves the arm
        assert fake.state()["wrist_yaw"] == pytest.approx(0.0, abs=0.02)


def test_missing_device_is_named() -> None:
    with running_fake() as fake:
        (fake.fleet / "dev" / "hello-motor-lift").unlink()
        message = r"hello-motor-lift: .*/dev/hello-motor-lift: no such file or directory; is the robot switched on"
        with pytest.raises(ConnectionFailed, match=message):
            StretchRE1(fake.options()).connect()


def test_robot_that_loses_its_replies_at_the_start_is_named(fake: RunningFake) -> None:
    fake.tell("silent on")
    with pytest.raises(ConnectionFailed, match="no answer from"):
        StretchRE1(fake.options()).connect()
    fake.tell("silent off")
    with StretchRE1(fake.options()) as robot:
        robot.observe()


def test_device_that_does_not_answer_is_named() -> None:
    with running_fake() as fake:
        lift = fake.fleet / "dev" / "hello-motor-lift"
        lift.unlink()
        lift.symlink_to("/dev/null")
        with pytest.raises(ConnectionFailed, match=r"hello-motor-lift"):
            StretchRE1(fake.options()).connect()


def test_denied_device_is_named(tmp_path: Path) -> None:
    device = tmp_path / "hello-pimu"
    device.touch(mode=0o000)
    tmp_path.chmod(0o755)
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)  # root may open everything
    try:
        with pytest.raises(ConnectionFailed, match=r"hello-pimu: .*permission denied"):
            sdk.check_device("hello-pimu", device)
    finally:
        os.seteuid(user)


def test_missing_calibration_is_named(fake: RunningFake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConnectionFailed, match=f"not calibrated: there is no {tmp_path}/stretch_configuration_params"):
        StretchRE1(StretchOptions(fleet=str(tmp_path))).connect()
    monkeypatch.delenv("HELLO_FLEET_PATH", raising=False)
    with pytest.raises(ConnectionFailed, match="HELLO_FLEET_PATH and HELLO_FLEET_ID are not set"):
        StretchRE1().connect()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"RE1V0"', '"RE9V9"', "unknown model RE9V9"),
        ('{\n  "arm"', '}{\n  "arm"', "does not accept stretch_configuration_params.yaml"),
        ('"contact_thresh_homing"', '"contact_thresh_hoping"', "has no valid contact model: run RE1_migrate_contacts"),
        ('"tool_stretch_gripper",', '"tool_none",', "robot.tool is tool_none, without stretch_gripper"),
        ('"tool": "tool_stretch_gripper"', '"tool": "tool_spoon"', "it ended the process"),
    ],
)
def test_wrong_calibration_is_named(old: str, new: str, message: str) -> None:
    with running_fake() as fake:
        path = fake.robot / "stretch_configuration_params.yaml"
        text = path.read_text()
        new_text = text.replace('"tool": "tool_stretch_gripper"', '"tool": "tool_none"') if "none" in new else None
        path.write_text(new_text or text.replace(old, new))
        with pytest.raises(ConnectionFailed, match=message):
            StretchRE1(fake.options()).connect()


def test_second_driver_is_told_who_drives(fake: RunningFake) -> None:
    hold = (
        "import sys, time",
        "from robots.processes.lock import claim",
        "lock = claim(sys.argv[1])",
        "print('held', flush=True)",
    )
    command = [sys.executable, "-c", "\n".join((*hold, "time.sleep(60)")), f"stretch-{fake.robot.resolve()}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as other:
        try:
            assert other.stdout is not None
            assert other.stdout.readline() == "held\n"
            with pytest.raises(ConnectionFailed, match=f"driven by another process \\(pid {other.pid}\\)"):
                StretchRE1(fake.options()).connect()
        finally:
            other.kill()


def test_program_of_the_vendor_that_holds_the_robot_is_named(fake: RunningFake) -> None:
    from filelock import FileLock

    (fake.robot / "pid.txt").write_text("4711")
    with (
        FileLock(fake.robot / "pid.txt.lock"),
        pytest.raises(ConnectionFailed, match=r"another process drives this Stretch \(pid 4711\)"),
    ):
        StretchRE1(fake.options()).connect()


def test_missing_sdk_is_named(fake: RunningFake, monkeypatch: pytest.MonkeyPatch) -> None:
    class Hidden(MetaPathFinder):
        def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
            if name.startswith("stretch_body"):
                raise ModuleNotFoundError(f"No module named {name!r}", name=name)
            return None

    monkeypatch.setattr(sys, "meta_path", [Hidden(), *sys.meta_path])
    with pytest.raises(ConnectionFailed, match=r"No module named 'stretch_body'.*run scripts/stretch_sdk"):
        StretchRE1(fake.options()).connect()


def test_camera_that_is_not_set_is_named(fake: RunningFake) -> None:
    with pytest.raises(ConnectionFailed, match="camera: got '', expected realsense:SERIAL"):
        StretchRE1(fake.options(navigation_camera="")).connect()


def test_process_keeps_its_signals_hooks_and_logs(fake: RunningFake) -> None:
    import logging

    before = (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM), threading.excepthook)
    handlers, logger = list(logging.getLogger().handlers), logging.getLogger("robots.test")
    threads = threading.active_count()
    with StretchRE1(fake.options()):
        assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM), threading.excepthook) == before
        assert (list(logging.getLogger().handlers), logger.disabled) == (handlers, False)
    assert threading.active_count() == threads
    assert "stretch_body.robot" not in sys.modules


def test_camera_that_is_mounted_on_its_side_is_shown_at_its_true_angle(fake: RunningFake) -> None:
    # The D435i of a stock RE1: 69 degrees along the sensor's long side, which stands upright in the head.
    options = fake.options(navigation_rotation_deg=90, navigation_fov_deg=69.4)
    with StretchRE1(options) as robot:
        seen = robot.observe().images
    assert {image.shape for image in seen.values()} == {(90, 160, 3)}
    ahead = seen["navigation"]
    lit = ahead[45].any(axis=1).nonzero()[0]
    # tan(69.4 / 2) / tan(59 / 2) = 1.224: the turned 160x90 image becomes 110 high, 62 wide; 90 rows of it are kept.
    assert (lit[0], lit[-1]) == (49, 110)


@pytest.mark.parametrize("jump_s", [-60.0, 60.0])
def test_time_of_day_that_is_set_changes_nothing(
    fake: RunningFake, robot: StretchRE1, monkeypatch: pytest.MonkeyPatch, jump_s: float
) -> None:
    # The SDK times its replies and its syncs by the time of day. Only what Python asks is changed: the clock is shared.
    begin, step = fake.state()["lift"], MoveJoint("joint_lift", 0.02)
    assert robot.execute(step).executed  # the SDK remembers the time of this sync
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() + jump_s)
    time.sleep(0.2)
    first, second = robot.execute(step), robot.execute(step)
    assert second.executed, (first, second)  # a command that was under way at the jump may be lost, and says so
    assert first.executed or first.blocked.startswith(("lost", "feedback stale"))
    assert fake.state()["lift"] > begin
    assert robot.execute(MoveJoint("joint_lift", begin - fake.state()["lift"])).executed


def test_slow_wire_still_works() -> None:
    with running_fake("--latency-s", "0.01") as fake, StretchRE1(fake.options()) as robot:
        assert robot.execute(MoveJoint("joint_lift", 0.02)).executed
        assert fake.state()["lift"] == pytest.approx(0.22, abs=0.005)
