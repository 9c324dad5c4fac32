"""The wire: buses that do not open, frames that do not go out, and a bus that is off."""

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from robots.drivers.piper.can import FAILED_SENDS, Watch, open_sdk, watched
from robots.drivers.piper.can_bus import check_link, open_bus
from robots.errors import ConnectionFailed, NotInstalled

can = pytest.importorskip("can", reason="the extra `piper` is not installed")


def frame(identifier: int, error: bool = False) -> Any:
    return can.Message(arbitration_id=identifier, data=bytes(8), is_extended_id=False, is_error_frame=error)


@pytest.fixture
def link_folder(tmp_path: Path) -> Path:
    for name, state in (("can0", "up"), ("can1", "down")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "operstate").write_text(f"{state}\n")
    return tmp_path


def test_a_can_interface_must_exist_and_be_up(link_folder: Path) -> None:
    check_link("can0", link_folder)
    with pytest.raises(ConnectionFailed, match=r"no CAN interface 'can7'; .* available: can0, can1"):
        check_link("can7", link_folder)
    with pytest.raises(ConnectionFailed, match="can1 is down"):
        check_link("can1", link_folder)


def test_a_bus_that_is_not_there_is_named() -> None:
    with pytest.raises(ConnectionFailed, match="no CAN interface 'can77'"):
        open_bus("can77", "socketcan")
    with pytest.raises(ConnectionFailed, match=r"CAN bus x \(carrier-pigeon\) cannot be opened: .*carrier-pigeon"):
        open_bus("x", "carrier-pigeon")


def test_permission_denied_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def deny(*_: object, **__: object) -> None:
        raise can.CanInitializationError("no") from PermissionError(13, "Permission denied")

    monkeypatch.setattr(can, "Bus", deny)
    with pytest.raises(ConnectionFailed, match=r"permission denied for CAN bus /dev/ttyACM0 \(slcan\)"):
        open_bus("/dev/ttyACM0", "slcan")


def test_without_python_can_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "can", None)
    with pytest.raises(NotInstalled, match=r"python-can cannot be imported .*pip install -e '.\[piper\]'"):
        open_bus("can0", "socketcan")


def test_without_the_sdk_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "piper_sdk", None)
    with pytest.raises(NotInstalled, match=r"piper_sdk cannot be imported .*pip install -e '.\[piper\]'"):
        open_sdk("here", "virtual", Watch())


def test_a_watch_knows_the_oldest_of_several_frames() -> None:
    watch = Watch()
    assert watch.last_ns((1, 2)) == -1
    watch.heard(frame(1), 10)
    assert watch.last_ns((1, 2)) == -1
    watch.heard(frame(2), 20)
    assert watch.last_ns((1, 2)) == 10
    watch.heard(frame(1), 30)
    assert watch.last_ns((1, 2)) == 20


def test_an_error_frame_tells_that_the_bus_is_off_until_it_is_restarted() -> None:
    watch = Watch()
    watch.heard(frame(0x04, error=True), 40)  # a lost arbitration is no fault
    assert watch.fault == ""
    watch.heard(frame(0x40, error=True), 40)
    assert watch.fault.startswith("bus-off: the CAN controller left the bus")
    assert watch.last_ns((0x40,)) == -1, "an error frame is no feedback"
    watch.heard(frame(0x100, error=True), 40)
    assert watch.fault == ""


def test_frames_that_cannot_be_sent_mean_that_the_bus_is_off() -> None:
    watch = Watch()
    for _ in range(FAILED_SENDS - 1):
        watch.sent(OSError("no buffer space"))
    watch.sent(None)
    for _ in range(FAILED_SENDS - 1):
        watch.sent(OSError("no buffer space"))
    assert watch.fault == ""
    watch.sent(OSError("no buffer space"))
    assert watch.fault == "bus-off: 3 frames in a row could not be sent (no buffer space)"


def test_a_bus_that_carries_frames_again_is_not_off_for_good() -> None:
    watch, ms = Watch(), 1_000_000
    for _ in range(FAILED_SENDS):
        watch.sent(OSError("no buffer space"))
    for at_ms in (*range(0, 300, 5), *range(600, 1095, 5)):  # with a pause between: it starts to count again
        watch.heard(frame(0x2A5), at_ms * ms)
        assert watch.fault.startswith("bus-off"), at_ms
    watch.heard(frame(0x2A5), 1100 * ms)
    assert watch.fault == ""
    watch.sent(OSError("no buffer space"))
    assert watch.fault == "", "one that fails now is the first"


@pytest.fixture
def buses() -> Iterator[tuple[Any, Any, Watch]]:
    name, watch = f"wire-{time.monotonic_ns()}", Watch()
    ours, other = watched(can.Bus(name, interface="virtual"), watch), can.Bus(name, interface="virtual")
    yield ours, other, watch
    ours.shutdown()
    other.shutdown()


def test_frames_pass_a_watched_bus_both_ways(buses: tuple[Any, Any, Watch]) -> None:
    ours, other, watch = buses
    other.send(frame(0x2A1))
    message = ours.recv(1)
    assert message is not None
    assert message.arbitration_id == 0x2A1
    assert watch.last_ns((0x2A1,)) == -1, "received, and not yet read by the SDK"
    now = time.monotonic_ns()
    assert ours.recv(5) is None, "it looks every 30 ms whether it should end"
    assert 0 < watch.last_ns((0x2A1,)) <= now
    ours.send(frame(0x155))
    assert other.recv(1).arbitration_id == 0x155


def test_a_bus_that_is_off_carries_nothing(buses: tuple[Any, Any, Watch]) -> None:
    ours, other, watch = buses
    other.send(frame(0x40, error=True))
    ours.recv(1)
    ours.recv(1)
    with pytest.raises(can.CanOperationError, match="bus-off"):
        ours.send(frame(0x155))
    assert other.recv(0) is None
    assert watch.fault


def test_a_send_that_fails_is_noted_and_raised(buses: tuple[Any, Any, Watch]) -> None:
    ours, _, watch = buses
    ours.shutdown()
    for _ in range(FAILED_SENDS):
        with pytest.raises(can.CanError):
            ours.send(frame(0x155))
    assert watch.fault.startswith("bus-off: 3 frames in a row")
