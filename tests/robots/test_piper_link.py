"""What the link reads from the vendor's SDK, frame by frame, and what it puts on the wire."""

import math
import struct
import time
from collections.abc import Iterator
from typing import Any

import pytest

from robots.drivers.piper.link import ALL_FRAMES, ARM_STATUS, JOINT_FRAMES, PiperLink

pytest.importorskip("piper_sdk", reason="the extra `piper` is not installed")
can = pytest.importorskip("can", reason="the extra `piper` is not installed")

ENABLED = 0x40


class Wire:
    """A link and the arm's end of its bus."""

    def __init__(self, stale_after_s: float = 5.0) -> None:
        self.name = f"link-{time.monotonic_ns()}"
        self.arm = can.Bus(self.name, interface="virtual")
        self.link = PiperLink(self.name, "virtual", stale_after_s)

    def tell(self, identifier: int, data: bytes) -> None:
        """A frame from the arm, and until the SDK has read it."""
        before = self.link._watch.last_ns((identifier,))
        self.arm.send(can.Message(arbitration_id=identifier, data=data, is_extended_id=False))
        deadline = time.monotonic() + 5.0
        while self.link._watch.last_ns((identifier,)) == before and time.monotonic() < deadline:
            time.sleep(0.001)

    def sent(self) -> dict[int, bytes]:
        """The frames that reached the arm, by identifier."""
        frames = {}
        while (message := self.arm.recv(0)) is not None:
            frames[message.arbitration_id] = bytes(message.data)
        return frames

    def healthy(self) -> None:
        """Every kind of frame once, from an arm that obeys and holds."""
        for pair in range(3):
            self.tell(JOINT_FRAMES[pair], struct.pack(">ii", 10_000 * pair, -90_000))
        self.tell(0x2A1, bytes([1, 0, 1, 0, 0, 0, 0, 0]))
        self.tell(0x2A8, struct.pack(">ihBB", 35_000, 200, 0xC0, 0))
        for number in range(6):
            self.motor(number, ENABLED)

    def motor(self, number: int, status: int, volts: float = 24.0) -> None:
        self.tell(0x261 + number, struct.pack(">HhbBH", round(volts * 10), 41, 30 + number, status, 500))

    def close(self) -> None:
        self.link.close()
        self.arm.shutdown()


@pytest.fixture
def wire() -> Iterator[Wire]:
    made = Wire()
    yield made
    made.close()


def test_it_is_complete_once_every_kind_of_frame_was_heard(wire: Wire) -> None:
    assert not wire.link.complete
    assert wire.link.stamp_ns == -1
    wire.healthy()
    assert wire.link.complete
    assert 0 < wire.link.stamp_ns <= time.monotonic_ns()


def test_positions_are_in_radians_and_metres(wire: Wire) -> None:
    wire.healthy()
    right = -math.pi / 2
    expected = [0.0, right, math.radians(10.0), right, math.radians(20.0), right, 0.035]
    assert wire.link.positions() == pytest.approx(expected)


def test_a_healthy_arm_has_no_fault(wire: Wire) -> None:
    wire.healthy()
    assert (wire.link.lost(), wire.link.fault(), wire.link.estop()) == ("", "", False)
    assert wire.link.enabled()
    assert wire.link.in_control()


def test_motors_report_voltage_and_the_hotter_of_two_temperatures(wire: Wire) -> None:
    wire.healthy()
    wire.motor(2, ENABLED, volts=22.5)
    motor = wire.link.motors()[2]
    assert (motor.enabled, motor.voltage_v, motor.temperature_c, motor.fault) == (True, 22.5, 41.0, "")


@pytest.mark.parametrize("status", sorted(ARM_STATUS))
def test_each_status_of_the_arm_is_a_fault_of_its_own(wire: Wire, status: int) -> None:
    wire.healthy()
    wire.tell(0x2A1, bytes([1, status, 1, 0, 0, 0, 0, 0]))
    assert wire.link.fault() == ARM_STATUS[status]
    assert wire.link.estop() is (status == 1)


@pytest.mark.parametrize(
    ("bit", "says"),
    [
        (0, "battery low: its supply voltage is too low"),
        (1, "overheated: its motor"),
        (2, "overcurrent: its driver"),
        (3, "overheated: its driver"),
        (4, "collision: it met a resistance"),
        (7, "stalled: it cannot turn"),
    ],
)
def test_each_fault_of_a_motor_names_the_joint(wire: Wire, bit: int, says: str) -> None:
    wire.healthy()
    wire.motor(4, ENABLED | 1 << bit)
    assert wire.link.fault().startswith(says)
    assert wire.link.fault().endswith("(joint5)")


def test_one_motor_that_let_go_is_enough(wire: Wire) -> None:
    wire.healthy()
    wire.motor(3, 0)
    assert not wire.link.enabled()
    assert wire.link.fault() == "switched off: the motor of joint4 does not hold"


@pytest.mark.parametrize(("mode", "move"), [(0, 1), (2, 1), (1, 0), (7, 4)])
def test_an_arm_that_obeys_somebody_else_is_not_in_control(wire: Wire, mode: int, move: int) -> None:
    wire.healthy()
    wire.tell(0x2A1, bytes([mode, 0, move, 0, 0, 0, 0, 0]))
    assert not wire.link.in_control()
    assert wire.link.fault().startswith(f"not in control: the arm is in control mode {mode} and move mode {move}")


@pytest.mark.parametrize(
    ("silent", "what"),
    [(0x2A6, "joint angles"), (0x2A8, "gripper readings"), (0x2A1, "arm status"), (0x263, "motor states")],
)
def test_each_kind_of_feedback_goes_stale_by_itself(silent: int, what: str) -> None:
    wire = Wire(stale_after_s=0.3)
    try:
        wire.healthy()
        assert wire.link.lost() == ""
        end = time.monotonic() + 1.2
        while time.monotonic() < end:
            for identifier in set(ALL_FRAMES) - {silent}:
                wire.arm.send(can.Message(arbitration_id=identifier, data=bytes(8), is_extended_id=False))
            time.sleep(0.02)
        assert wire.link.lost().startswith(f"feedback stale: {what} are ")
    finally:
        wire.close()


def test_an_error_frame_of_linux_is_bus_off(wire: Wire) -> None:
    wire.healthy()
    wire.arm.send(can.Message(arbitration_id=0x40, data=bytes(8), is_extended_id=False, is_error_frame=True))
    deadline = time.monotonic() + 5.0
    while not wire.link.lost() and time.monotonic() < deadline:
        time.sleep(0.005)
    assert wire.link.lost().startswith("bus-off: the CAN controller left the bus")
    wire.sent()
    wire.link.send_joints([0.0] * 6)
    assert wire.sent() == {}, "nothing is sent on a bus that is off"


def test_joint_targets_go_out_in_thousandths_of_a_degree(wire: Wire) -> None:
    wire.link.send_joints([0.0, math.pi / 2, -1.0, 0.1, -0.1, 1e-5])
    frames = wire.sent()
    values = [one for pair in range(3) for one in struct.unpack(">ii", frames[0x155 + pair])]
    assert values == [0, 90_000, -57_296, 5_730, -5_730, 1]


def test_the_gripper_goes_out_in_micrometres_with_its_effort(wire: Wire) -> None:
    wire.link.send_gripper(0.0213)
    assert struct.unpack(">ihBB", wire.sent()[0x159]) == (21_300, 1000, 1, 0)


def test_modes_enabling_and_the_emergency_stop(wire: Wire) -> None:
    wire.link.send_mode(30)
    wire.link.enable()
    wire.link.emergency_stop()
    frames = wire.sent()
    assert list(frames[0x151][:4]) == [1, 1, 30, 0]
    assert list(frames[0x471][:2]) == [7, 2]
    assert frames[0x150][0] == 1
    wire.link.disable()
    wire.link.reset()
    frames = wire.sent()
    assert list(frames[0x471][:2]) == [7, 1]
    assert frames[0x150][0] == 2


def test_threads_that_send_at_once_do_not_mix_their_frames(wire: Wire) -> None:
    from concurrent.futures import ThreadPoolExecutor

    def joints(_: int) -> None:
        wire.link.send_joints([0.1] * 6)

    def gripper(_: int) -> None:
        wire.link.send_gripper(0.05)

    with ThreadPoolExecutor(4) as pool:
        for number in range(200):
            pool.submit(joints if number % 2 else gripper, number)
    seen = {}
    while (message := wire.arm.recv(0)) is not None:
        seen.setdefault(message.arbitration_id, set()).add(bytes(message.data))
    assert set(seen) == {0x155, 0x156, 0x157, 0x159}
    assert all(len(kinds) == 1 for kinds in seen.values())


def test_old_feedback_does_not_count_for_a_new_connection(wire: Wire) -> None:
    wire.healthy()
    wire.link.close()
    wire.link = PiperLink(wire.name, "virtual", 5.0)
    assert not wire.link.complete
    wire.healthy()
    assert wire.link.complete


def test_a_connection_is_closed_and_opened_many_times(wire: Wire) -> None:
    for _ in range(3):
        wire.link.close()
        wire.link = PiperLink(wire.name, "virtual", 5.0)
        wire.healthy()
        assert wire.link.lost() == ""


def test_received_numbers_may_be_anything(wire: Wire) -> None:
    values: list[Any] = [b"\xff" * 8, b"\x00" * 8, bytes(range(8))]
    for data in values:
        for identifier in ALL_FRAMES:
            wire.arm.send(can.Message(arbitration_id=identifier, data=data, is_extended_id=False))
    time.sleep(0.1)
    wire.healthy()
    assert wire.link.fault() == ""


def test_a_joint_that_jumps_is_reported_and_not_believed() -> None:
    wire = Wire()
    wire.tell(0x2A5, struct.pack(">ii", 0, 57296))
    wire.tell(0x2A5, struct.pack(">ii", 0, 57300))
    wire.tell(0x2A5, struct.pack(">ii", 0, 150000))
    assert wire.link.positions()[1] == pytest.approx(math.radians(57.3), abs=1e-3)
    assert wire.link.lost().startswith("feedback jumps: joint2 by 1.6")
    wire.link.close()
