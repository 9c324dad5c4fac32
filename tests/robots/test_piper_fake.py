"""The fake Piper: how its arm moves, and the frames it sends on a bus inside this process."""

import math
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest

from robots.embodiments.piper import HOME_RAD, RANGES_RAD
from robots.fakes.piper.arm import CAN_CONTROL, FAULTS, Joint, PiperArm
from robots.fakes.piper.process import FakePiper, fault_at, main, parser

can = pytest.importorskip("can", reason="the extra `piper` is not installed")

MILLIDEGREES = 1000.0 * 180.0 / math.pi


def ready_arm(percent: int = 50) -> PiperArm:
    arm = PiperArm()
    arm.enable(True)
    arm.set_mode(CAN_CONTROL, 0x01, percent)
    return arm


def run(arm: PiperArm, seconds: float) -> None:
    for _ in range(round(seconds / 0.005)):
        arm.step(0.005)


def test_a_joint_arrives_without_overshoot_within_its_speed() -> None:
    joint, peak, fastest = Joint(-2.0, 2.0, 0.0, 1.0), 0.0, 0.0
    for _ in range(400):
        joint.step(0.005, 1.5, 10.0)
        peak, fastest = max(peak, joint.position), max(fastest, abs(joint.speed))
    assert joint.position == pytest.approx(1.0, abs=1e-3)
    assert peak < 1.01
    assert fastest <= 1.5 + 1e-9


def test_targets_beyond_a_range_end_at_it() -> None:
    arm = ready_arm()
    arm.target(2, (0.5, -3.0))
    run(arm, 3.0)
    assert arm.joints[2].position == pytest.approx(RANGES_RAD[2][1], abs=1e-3)
    assert arm.joints[3].position == pytest.approx(RANGES_RAD[3][0], abs=1e-3)


@pytest.mark.parametrize("missing", ["enable", "mode"])
def test_nothing_moves_before_it_is_enabled_and_in_can_mode(missing: str) -> None:
    arm = PiperArm()
    if missing != "enable":
        arm.enable(True)
    if missing != "mode":
        arm.set_mode(CAN_CONTROL, 0x01, 50)
    arm.target(0, (0.5, 0.5))
    run(arm, 1.0)
    assert [joint.position for joint in arm.joints] == list(HOME_RAD)


@pytest.mark.parametrize("fault", ["estop", "jam", "switch-off", "teach"])
def test_faults_keep_the_joints_from_turning(fault: str) -> None:
    arm = ready_arm()
    arm.fail(fault)
    arm.set_mode(CAN_CONTROL, 0x01, 50)
    arm.target(0, (0.5, 1.0))
    run(arm, 1.0)
    assert arm.joints[0].position == 0.0


def test_clearing_the_emergency_stop_lets_the_motors_go() -> None:
    arm = ready_arm()
    arm.fail("estop")
    arm.reset()
    assert (arm.faults, arm.enabled, arm.mode) == (set(), False, 0)


def test_motors_that_failed_do_not_come_back() -> None:
    arm = ready_arm()
    arm.fail("switch-off")
    arm.enable(True)
    assert not arm.enabled


def test_enabling_forgets_an_old_target() -> None:
    arm = ready_arm()
    arm.target(0, (0.5, 1.0))
    arm.enable(False)
    arm.enable(True)
    run(arm, 1.0)
    assert arm.joints[0].position == 0.0


class Bench:
    """The fake and a listener on one bus in this process."""

    def __init__(self, latency_s: float = 0.0, faults: tuple[tuple[float, str], ...] = ()) -> None:
        name = f"bench-{time.monotonic_ns()}"
        self.ours, self.its = (can.Bus(name, interface="virtual") for _ in range(2))
        self.fake = FakePiper(self.its, PiperArm(), 200.0, latency_s, faults)

    def say(self, identifier: int, data: bytes) -> None:
        self.ours.send(can.Message(arbitration_id=identifier, data=data, is_extended_id=False))

    def hear(self, rounds: int = 1) -> dict[int, Any]:
        for _ in range(rounds):
            self.fake.round()
        heard = {}
        while (message := self.ours.recv(0)) is not None:
            heard[message.arbitration_id] = message
        return heard

    def close(self) -> None:
        self.ours.shutdown()
        self.its.shutdown()


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.close()


def test_it_reports_joints_gripper_status_and_motors(bench: Bench) -> None:
    heard = bench.hear()
    assert set(heard) == {0x2A1, 0x2A5, 0x2A6, 0x2A7, 0x2A8, *range(0x261, 0x267)}
    assert struct.unpack(">ii", heard[0x2A5].data) == (0, round(HOME_RAD[1] * MILLIDEGREES))
    assert heard[0x2A1].data[0] == 0, "standby until it is commanded otherwise"
    assert not heard[0x261].data[5] & 0x40, "not enabled"


def test_motors_are_told_less_often(bench: Bench) -> None:
    bench.hear()
    assert 0x261 not in bench.hear(5)


def test_frames_move_it(bench: Bench) -> None:
    bench.say(0x471, bytes([7, 2, 0, 0, 0, 0, 0, 0]))
    bench.say(0x151, bytes([1, 1, 100, 0, 0, 0, 0, 0]))
    bench.say(0x155, struct.pack(">ii", 5000, 80000))
    bench.say(0x159, struct.pack(">ihBB", 30000, 1000, 1, 0))
    heard = bench.hear(100)
    assert struct.unpack(">ii", heard[0x2A5].data) == pytest.approx((5000, 80000), abs=20)
    assert struct.unpack(">i", heard[0x2A8].data[:4])[0] == pytest.approx(30000, abs=50)
    assert heard[0x261].data[5] & 0x40
    assert list(heard[0x2A1].data[:3]) == [1, 0, 1]


def test_the_emergency_stop_latches_until_it_is_cleared(bench: Bench) -> None:
    bench.say(0x150, bytes([1, 0, 0, 0, 0, 0, 0, 0]))
    assert bench.hear(2)[0x2A1].data[1] == 1
    bench.say(0x150, bytes(8))
    assert bench.hear(2)[0x2A1].data[1] == 1
    bench.say(0x150, bytes([2, 0, 0, 0, 0, 0, 0, 0]))
    assert bench.hear(2)[0x2A1].data[1] == 0


def test_a_lost_arm_sends_and_takes_nothing(bench: Bench) -> None:
    bench.hear()
    bench.fake.fail("lose")
    bench.say(0x471, bytes([7, 2, 0, 0, 0, 0, 0, 0]))
    assert bench.hear(3) == {}
    assert not bench.fake.arm.enabled


def test_frozen_feedback_goes_on_with_the_old_angles(bench: Bench) -> None:
    bench.fake.arm.enable(True)
    bench.fake.arm.set_mode(CAN_CONTROL, 0x01, 100)
    bench.fake.fail("freeze")
    bench.fake.arm.target(0, (0.5, 1.0))
    assert struct.unpack(">ii", bench.hear(20)[0x2A5].data)[0] == 0
    assert bench.fake.arm.joints[0].position > 0.01


def test_bus_off_is_the_error_frame_of_linux_then_silence(bench: Bench) -> None:
    bench.fake.fail("bus-off")
    message = bench.ours.recv(1.0)
    assert message.is_error_frame
    assert message.arbitration_id == 0x40
    assert bench.hear(3) == {}


def test_healing_ends_every_fault(bench: Bench) -> None:
    for fault in FAULTS:
        bench.fake.fail(fault)
    bench.hear()
    bench.fake.fail("heal")
    restarted = bench.ours.recv(1.0)
    assert restarted.is_error_frame
    assert restarted.arbitration_id == 0x100
    assert bench.fake.arm.faults == set()
    assert 0x2A5 in bench.hear()


def test_faults_come_at_their_time_and_commands_after_the_latency() -> None:
    made = Bench(latency_s=0.1, faults=((0.15, "hot"), (0.0, "estop")))
    try:
        made.say(0x471, bytes([7, 2, 0, 0, 0, 0, 0, 0]))
        made.hear(2)
        assert made.fake.arm.faults == {"estop"}
        assert not made.fake.arm.enabled
        end = time.monotonic() + 0.3
        while time.monotonic() < end:
            made.hear()
        assert made.fake.arm.faults == {"estop", "hot"}
        assert made.fake.arm.enabled
    finally:
        made.close()


def test_the_command_line_names_the_faults() -> None:
    assert fault_at("estop@2.5") == (2.5, "estop")
    assert fault_at("jam") == (0.0, "jam")
    assert all(fault in parser().format_help() for fault in FAULTS)
    with pytest.raises(SystemExit):
        parser().parse_args(["--fault", "flood@1"])


def test_a_bus_that_does_not_open_is_reported(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--channel", "can77", "--interface", "socketcan"]) == 1
    assert "no CAN interface 'can77'; is the adapter plugged in?" in capsys.readouterr().err


def test_help_and_a_clean_end() -> None:
    command = [sys.executable, "-m", "robots.fakes.piper.process"]
    shown = subprocess.run([*command, "--help"], capture_output=True, text=True, timeout=30, check=True)
    assert "--fault" in shown.stdout
    process = subprocess.Popen(
        [*command, "--channel", "here", "--interface", "virtual"], stdout=subprocess.PIPE, stdin=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready: piper on here (virtual)\n"
    process.terminate()
    process.communicate(timeout=10)
    assert process.returncode == 0
