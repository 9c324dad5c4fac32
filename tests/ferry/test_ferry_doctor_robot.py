"""The doctor before a session: real drivers on fakes in processes of their own, and a real policy server."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from bundles import write_tiny_bundle
from ferry_fakes import ferry_fake, multicast_channel
from servers import serving
from stretch_fake import ROBOT_ID, needs_sdk

from ferry.doctor import robot as doctor_robot
from ferry.doctor.check import CheckFailed, CheckWarning, Finding, Level, Machine
from ferry.doctor.main import main, subject_of
from ferry.doctor.main import parser as doctor_parser
from ferry.doctor.robot import Watched, check_battery, check_cameras, check_fault, check_observation, check_runstop
from ferry.errors import UsageError
from ferry.options import build, from_parameters, parse
from robots.fakes.kinematic import FakeOptions, FakeRobot
from robots.processes.lock import claim
from robots.robot import Health


def look(words: Sequence[str], server: str | None = None, rate_hz: float = 5.0) -> dict[str, Finding]:
    """Looks at a robot that is given as on the command line; returns the findings by name."""
    subject = subject_of(doctor_parser().parse_args(["--robot", *words]))
    found = doctor_robot.examine_robot(subject.robot, rate_hz, Machine(Path.cwd(), server))
    return {finding.name: finding for finding in found}


@pytest.fixture(autouse=True)
def shorter_look(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor_robot, "WATCH_S", 0.8)


def test_a_piper_on_its_bus_is_well_and_a_second_look_is_too(capsys: pytest.CaptureFixture[str]) -> None:
    channel = multicast_channel()
    words = ["piper", "--set", f"channel={channel}", "interface=udp_multicast", "wrist_camera=synthetic"]
    with ferry_fake("piper", "--channel", channel):
        first = look(words)
        assert main(["--robot", *words]) == 0
    assert {name: finding.level for name, finding in first.items()} == dict.fromkeys(
        ("connect", "fault", "runstop", "battery", "observation", "cameras"), Level.OK
    )
    assert first["connect"].found == "piper answers"
    assert "wrist 640x480 at " in first["cameras"].found
    output = capsys.readouterr().out
    assert "ok    sdk          piper_sdk 0.6.2" in output
    assert "ok    connect      piper answers" in output


def test_a_piper_that_is_switched_off_is_reported_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    words = [f"channel={multicast_channel()}", "interface=udp_multicast", "connect_timeout_s=0.5"]
    assert main(["--robot", "piper", "--set", *words]) == 1
    lines = capsys.readouterr().out.splitlines()
    (at,) = [at for at, line in enumerate(lines) if line.startswith("FAIL  connect")]
    assert lines[at + 1].strip().startswith("fix: ")
    assert lines[-1].startswith("1 failure, ")


def test_a_piper_with_its_e_stop_pressed() -> None:
    channel = multicast_channel()
    with ferry_fake("piper", "--channel", channel, "--fault", "estop@0"):
        found = look(["piper", "--set", f"channel={channel}", "interface=udp_multicast"])
    assert found["connect"].level is Level.FAIL
    assert "e-stop" in found["connect"].found


def test_a_robot_that_another_process_drives() -> None:
    channel = multicast_channel()
    with claim(f"piper-{channel}"):
        found = look(["piper", "--set", f"channel={channel}", "interface=udp_multicast"])
    assert list(found) == ["connect"]
    assert "is driven by another process (pid " in found["connect"].found
    assert found["connect"].fix == "stop that one first"


def test_a_locobot_behind_pyrobot() -> None:
    words = ["locobot", "--driver", "pyrobot", "--set", "height=45", "width=80"]
    with ferry_fake("pyrobot", "--port", "0") as ready:
        found = look([*words, f"address={ready.split()[-1]}"], rate_hz=2.0)
    checked = ("connect", "fault", "runstop", "observation")
    assert [found[name].level for name in checked] == [Level.OK] * 4, [found[name].found for name in checked]
    gone = look([*words, "address=127.0.0.1:1"])["connect"]
    assert gone.level is Level.FAIL
    assert "127.0.0.1:1" in gone.found


def test_an_option_that_a_driver_has_not() -> None:
    with pytest.raises(UsageError, match="option: got 'address_'"):
        look(["locobot", "--driver", "pyrobot", "--set", "address_=127.0.0.1:1"])


def test_a_policy_that_fits_and_one_that_does_not(tmp_path: Path) -> None:
    write_tiny_bundle(tmp_path / "tiny")
    with serving(tmp_path / "tiny") as url:
        fits = look(["fake"], url)
        other = look(["piper", "--set", f"channel={multicast_channel()}", "interface=udp_multicast",
                      "connect_timeout_s=0.2"], url)  # fmt: skip
    assert fits["policy"].level is Level.OK
    assert "drives stretch_re1: 20 of 20 actions; navigation from navigation" in fits["policy"].found
    assert fits["latency"].found.startswith("10 decisions: median ")
    assert other["policy"].level is Level.FAIL, "it is bound before the robot answers, as its table is known"
    assert other["policy"].found.startswith("BindError: ")
    assert "bundle for piper" in other["policy"].fix


def test_a_server_that_is_gone_is_one_line(tmp_path: Path) -> None:
    found = look(["fake"], "http://127.0.0.1:1")
    assert found["policy"].found.startswith("Unreachable: policy server http://127.0.0.1:1")
    assert "latency" not in found


def test_decisions_that_come_too_late(tmp_path: Path) -> None:
    write_tiny_bundle(tmp_path / "tiny", control_period_s=1e-4)
    with serving(tmp_path / "tiny") as url:
        found = look(["fake"], url)
    assert found["latency"].level is Level.FAIL
    assert found["latency"].found.startswith("decisions come too late: median ")


def test_a_camera_that_freezes_and_one_that_is_unplugged() -> None:
    frozen = look(["fake", "--set", "freeze_camera_after_s=0.1"])
    assert "no new observation for the last 0." in frozen["observation"].found
    unplugged = look(["fake", "--set", "fail_observe_after_s=0.1"])
    assert unplugged["observation"].found == "ConnectionError: fake camera unplugged"
    assert "cameras" not in unplugged


def test_images_that_are_all_the_same_are_doubtful() -> None:
    found = look(["fake"])
    assert found["cameras"].level is Level.WARNING
    assert "images of navigation and manipulation are identical" in found["cameras"].found


def test_a_robot_is_let_go_whatever_is_found() -> None:
    robot = FakeRobot(FakeOptions(fail_observe_after_s=0.0))
    assert [one.level for one in doctor_robot.examine_robot(robot, 5.0, Machine(Path.cwd()))].count(Level.FAIL) == 1
    assert not robot._connected


def watched_of(*healths: Health, stamps_s: Sequence[float] = (0.0, 0.5, 1.0), silent_s: float = 0.0) -> Watched:
    return Watched([round(stamp * 1e9) for stamp in stamps_s], 0.05, {}, list(healths), silent_s=silent_s)


def test_what_a_body_says_of_itself() -> None:
    well = watched_of(Health(battery=0.8, notes={"voltage_v": 12.345}))
    assert check_fault(well) == "none, voltage_v 12.35"
    assert (check_runstop(well), check_battery(well)) == ("released", "80%")
    assert check_battery(watched_of(Health())) == "the robot does not report its charge"


def test_what_keeps_a_body_from_moving() -> None:
    with pytest.raises(CheckFailed, match="not homed: lift"):
        check_fault(watched_of(Health(fault="not homed: lift"), Health()))
    with pytest.raises(CheckFailed, match="the runstop is on"):
        check_runstop(watched_of(Health(), Health(runstop=True)))
    with pytest.raises(CheckFailed, match="5%: robot_node moves nothing below 10%") as caught:
        check_battery(watched_of(Health(battery=0.05)))
    assert not isinstance(caught.value, CheckWarning)
    with pytest.raises(CheckWarning, match="25%"):
        check_battery(watched_of(Health(battery=0.25)))


def test_observations_are_counted_per_second() -> None:
    assert check_observation(watched_of(), 2.0) == "2.0 Hz, 2 Hz needed, at most 50 ms old"
    with pytest.raises(CheckFailed, match=r"too slow: 2.0 Hz, 5 Hz needed"):
        check_observation(watched_of(), 5.0)
    with pytest.raises(CheckFailed, match=r"no new observation for the last 0.6 s"):
        check_observation(watched_of(silent_s=0.6), 2.0)


def test_a_camera_is_as_fast_as_its_images_differ() -> None:
    fake = FakeRobot()
    sums = {"navigation": [1, 1, 2], "manipulation": [1, 2, 3]}
    with pytest.raises(CheckWarning, match=r"navigation 144x84 at 1.0 Hz, manipulation 144x84 at 2.0 Hz"):
        check_cameras(replace(watched_of(), checksums=sums), fake.spec, 2.0)
    summary = check_cameras(replace(watched_of(), checksums=sums), fake.spec, 1.0)
    assert summary == "navigation 144x84 at 1.0 Hz, manipulation 144x84 at 2.0 Hz"


def test_options_from_a_command_line_and_from_the_parameter_file_of_a_launch(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(
        json.dumps({"/**": {"ros__parameters": {"fake": {"height": 48}, "fake.width": 64, "mode": "slow"}}})
    )
    parameters = from_parameters(file, "fake.")
    assert parameters == {"height": 48, "width": 64}
    built = build(FakeOptions, {**parameters, **parse(["width=80", "real_time=false", "freeze_camera_after_s=2"])})
    assert built == FakeOptions(height=48, width=80, real_time=False, freeze_camera_after_s=2.0)
    subject = subject_of(doctor_parser().parse_args(["--robot", "fake", "--config", str(file), "--set", "width=80"]))
    assert (subject.options.height, subject.options.width) == (48, 80)


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("height", "got 'height', expected name=value"),
        ("height=tall", "option height: got 'tall', expected a value like 84"),
        ("real_time=yes", "option real_time: got 'yes', expected a value like True"),
    ],
)
def test_an_option_that_cannot_be_read(word: str, expected: str) -> None:
    with pytest.raises(UsageError, match=expected):
        build(FakeOptions, parse([word]))


def test_a_parameter_file_of_another_form(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("robot_node: {}")
    with pytest.raises(UsageError, match="expected a parameter file with"):
        from_parameters(tmp_path / "a.yaml", "fake.")


def test_the_exit_status_is_what_a_script_needs(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "ferry", "doctor", "--robot", "fake", "--set", "fail_observe_after_s=0"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 1
    assert done.stdout.splitlines()[-1].startswith("1 failure, ")


def stretch_words(fleet: Path) -> list[str]:
    cameras = [f"{name}_camera=synthetic:{fleet}" for name in ("navigation", "manipulation")]
    return ["stretch_re1", "--set", f"fleet={fleet / ROBOT_ID}", *cameras, "height=84", "width=144"]


def look_again(words: Sequence[str]) -> dict[str, Finding]:
    """Looks until every servo answered: the SDK waits for it so briefly that a fake on a busy machine may come late."""
    for _ in range(5):
        found = look(words, rate_hz=2.0)
        if not found["connect"].found.startswith(("no answer from a device", "feedback stale")):
            return found
    raise AssertionError(found)


@needs_sdk
def test_a_stretch_through_its_sdk(tmp_path: Path) -> None:
    words = stretch_words(tmp_path)
    with ferry_fake("stretch", "--fleet", str(tmp_path)):
        found = look_again(words)
    assert [found[name].level for name in ("connect", "fault", "runstop", "battery", "observation")] == [Level.OK] * 5
    assert "voltage_v 12.4" in found["fault"].found
    off = look(words)["connect"]
    assert "hello-pimu" in off.found
    assert "switched on" in off.fix


@needs_sdk
def test_a_stretch_that_was_not_homed_and_one_with_its_runstop_pressed(tmp_path: Path) -> None:
    words = stretch_words(tmp_path)
    with ferry_fake("stretch", "--fleet", str(tmp_path), "--no-homed"):
        unhomed = look_again(words)["connect"]
    assert unhomed.found.startswith("not homed: lift")
    assert "stretch_robot_home.py" in unhomed.fix
    with ferry_fake("stretch", "--fleet", str(tmp_path), "--runstop"):
        assert look_again(words)["runstop"].found == "the runstop is on"


@needs_sdk
def test_a_stretch_without_its_calibration(tmp_path: Path) -> None:
    found = look(stretch_words(tmp_path / "nobody"))["connect"]
    assert found.found.startswith("not calibrated: ")
