"""The doctor's checks of what is plugged in, on a tree of devices as Linux shows them, and of cameras and SDKs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ferry.doctor import cameras
from ferry.doctor.cameras import check_camera
from ferry.doctor.check import CheckFailed, CheckWarning, Machine
from ferry.doctor.choice import ROBOTS, choose
from ferry.doctor.devices import can_bitrate, check_can, check_files, check_sdk
from ferry.errors import UsageError

IP = """#!/bin/sh
echo '[{"linkinfo": {"info_kind": "can", "info_data": {"bittiming": {"bitrate": %d}}}}]'
"""


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """A machine with a Stretch's serial devices, and a CAN interface that is up beside one that is down."""
    (tmp_path / "dev").mkdir()
    for name in ("hello-motor-arm", "hello-wacc", "ttyUSB0"):
        (tmp_path / "dev" / name).touch()
    for name, kind, flags in [("eth0", "1", "0x1003"), ("can0", "280", "0x400c1"), ("can1", "280", "0x40080")]:
        folder = tmp_path / "sys" / "class" / "net" / name
        folder.mkdir(parents=True)
        (folder / "type").write_text(f"{kind}\n")
        (folder / "flags").write_text(f"{flags}\n")
    return Machine(tmp_path, root=tmp_path)


def with_ip(monkeypatch: pytest.MonkeyPatch, folder: Path, bitrate: int) -> None:
    """Puts a program called `ip` on the PATH which tells a bit rate as iproute2 does."""
    program = folder / "ip"
    program.write_text(IP % bitrate)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")


def serial(machine: Machine) -> str:
    return check_files(("hello-*",), "dialout", "serial devices", machine)


def test_serial_devices_that_are_there(machine: Machine) -> None:
    assert serial(machine) == "2 found: hello-motor-arm, hello-wacc"


def test_serial_devices_that_are_missing(tmp_path: Path) -> None:
    with pytest.raises(CheckFailed, match=r"no serial devices: nothing matches /dev/hello-\*") as caught:
        serial(Machine(tmp_path, root=tmp_path / "none"))
    assert "is it switched on and plugged in?" in caught.value.fix


def test_a_serial_device_that_was_unplugged(machine: Machine) -> None:
    (machine.root / "dev" / "hello-pimu").symlink_to(machine.root / "dev" / "ttyACM7")
    with pytest.raises(CheckFailed, match=r"unplugged: .*/dev/hello-pimu"):
        serial(machine)


def test_a_serial_device_that_may_not_be_opened(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """The superuser, who may run this test, may open everything: so the system's answer is replaced."""
    monkeypatch.setattr(os, "access", lambda file, _mode: Path(file).name != "hello-wacc")
    with pytest.raises(CheckFailed, match=r"permission denied: \S*/dev/hello-wacc$") as caught:
        serial(machine)
    assert caught.value.fix == "sudo usermod -aG dialout $USER, then log out and in again"


def test_a_can_interface_that_is_up(machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with_ip(monkeypatch, tmp_path, 1_000_000)
    assert check_can("can0", 1_000_000, machine) == "can0 is up at 1000000 bit/s"


def test_a_can_interface_of_another_bit_rate(machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with_ip(monkeypatch, tmp_path, 500_000)
    with pytest.raises(CheckFailed, match="can0 runs at 500000 bit/s, the robot at 1000000") as caught:
        check_can("can0", 1_000_000, machine)
    assert caught.value.fix.startswith("sudo ip link set can0 down; sudo ip link set can0 up type can bitrate 1000000")


def test_an_interface_that_is_there_and_no_can_bus_has_no_bit_rate() -> None:
    assert can_bitrate("lo") is None


@pytest.mark.parametrize(
    ("name", "found", "fix"),
    [
        ("can1", "can1 is down", "sudo ip link set can1 up"),
        ("can7", "no CAN interface can7; available: can0, can1", "plug the CAN adapter in"),
        ("eth0", "no CAN interface eth0; available: can0, can1", "plug the CAN adapter in"),
    ],
)
def test_a_can_interface_that_cannot_be_used(name: str, found: str, fix: str, machine: Machine) -> None:
    with pytest.raises(CheckFailed, match=found) as caught:
        check_can(name, 1_000_000, machine)
    assert caught.value.fix.startswith(fix)


def test_an_sdk_in_the_tested_version_in_another_and_not_at_all() -> None:
    from importlib.metadata import version

    tested = version("numpy")
    assert check_sdk("numpy", "numpy", tested, "get it") == f"numpy {tested}"
    with pytest.raises(CheckWarning, match=f"numpy {tested}; the driver was tested with 0.1"):
        check_sdk("numpy", "numpy", "0.1", "get it")
    with pytest.raises(CheckWarning, match="its version is unknown"):
        check_sdk("robots", "robots", "0.1", "get it")
    with pytest.raises(CheckFailed, match="no_such_sdk is not installed") as caught:
        check_sdk("no_such_sdk", "no-such-sdk", "0.1", "get it")
    assert caught.value.fix == "get it"


def test_a_camera_that_delivers_and_one_that_is_too_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cameras, "WATCH_S", 0.5)
    assert check_camera("synthetic", (64, 48), 1.0).startswith("synthetic: 64x48 at ")
    with pytest.raises(CheckFailed, match=r"synthetic is too slow: 64x48 at .* Hz, 1000 Hz are needed"):
        check_camera("synthetic", (64, 48), 1000.0)


@pytest.mark.parametrize(
    ("choice", "found"), [("opencv:/dev/video97", "/dev/video97"), ("x", "camera: got 'x', expected realsense:SERIAL")]
)
def test_a_camera_that_is_not_there(choice: str, found: str) -> None:
    with pytest.raises(CheckFailed, match=found) as caught:
        check_camera(choice, (64, 48), 5.0)
    assert caught.value.fix


def test_the_first_driver_is_that_of_the_launch_file() -> None:
    for robot, drivers in ROBOTS.items():
        launch = (Path(__file__).parents[2] / "launch" / f"{robot}.launch.xml").read_text()
        assert choose(robot, None) is next(iter(drivers.values()))
        for name, driver in drivers.items() if len(drivers) > 1 else ():
            assert f'<let name="body_of_real_{name}" value="{driver.body}"/>' in launch
        first = next(iter(drivers))
        assert len(drivers) == 1 or f'<arg name="driver" default="{first}"' in launch


def test_a_driver_that_there_is_not() -> None:
    with pytest.raises(UsageError, match="driver of locobot: got 'ros1'; available: interbotix, pyrobot"):
        choose("locobot", "ros1")
    assert choose("piper_twin", None).body == "piper_twin"
