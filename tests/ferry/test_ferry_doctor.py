"""The doctor's checks of a machine: each against something real that is well, and something real that is not."""

from __future__ import annotations

import fcntl
import http.server
import os
import threading
import time
from collections.abc import Iterator
from email.utils import formatdate
from pathlib import Path

import pytest
from ferry_ros.rclpy_support import shared_memory

from ferry.doctor import check, clock, machine, ros
from ferry.doctor.check import CheckFailed, CheckWarning, Finding, Level, Machine, examine
from ferry.doctor.main import CHECKS, DEVELOPMENT, ROBOT, main
from ferry.doctor.server import check_server
from ferry.errors import OptionError


class Server(http.server.BaseHTTPRequestHandler):
    """Answers /readyz with the status and the clock error that its server was given."""

    status = 200
    late_s = 0.0

    def do_GET(self) -> None:
        assert self.path == "/readyz"
        self.send_response_only(self.status)
        self.send_header("Date", formatdate(time.time() - self.late_s, usegmt=True))
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    handler = type("Answer", (Server,), getattr(request, "param", {}))
    with http.server.HTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def with_environment(**variables: str) -> Machine:
    return Machine(Path.cwd(), environment=variables)


@pytest.mark.parametrize("name", sorted({*DEVELOPMENT, *ROBOT} - {"ntp", "domain", "memory", "robots"}))
def test_this_machine_is_well(name: str, tmp_path: Path) -> None:
    assert CHECKS[name](Machine(tmp_path))


@pytest.mark.parametrize(("version", "expected"), [((3, 10, 4), "3.10.4: enough for a robot"), ((3, 12, 0), "3.12.0")])
def test_python_that_is_new_enough(version: tuple[int, ...], expected: str, tmp_path: Path) -> None:
    assert machine.check_python(Machine(tmp_path, python=version)).startswith(expected)


def test_python_that_is_too_old(tmp_path: Path) -> None:
    with pytest.raises(CheckFailed, match=r"3.9.2") as caught:
        machine.check_python(Machine(tmp_path, python=(3, 9, 2)))
    assert "python3.11" in caught.value.fix


def test_a_disk_that_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "DISK_GB", 1e9)
    with pytest.raises(CheckFailed, match="GB free in"):
        machine.check_disk(Machine(tmp_path))


def test_the_disk_of_a_folder_that_is_not_there_yet(tmp_path: Path) -> None:
    assert machine.check_disk(Machine(tmp_path / "runs" / "today")).endswith(f"GB free in {tmp_path}")


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("import ferry_no_such_module", "No module named 'ferry_no_such_module'"),
        ("import os; os.kill(os.getpid(), 11)", "exit status -11"),
    ],
)
def test_what_fails_in_its_own_process_is_one_line(code: str, found: str) -> None:
    with pytest.raises(CheckFailed, match=found) as caught:
        check.run_python(code, "pip install it")
    assert caught.value.fix == "pip install it"


def test_what_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check, "TIMEOUT_S", 0.3)
    with pytest.raises(CheckFailed, match="no answer within"):
        check.run_python("import time; time.sleep(30)", "wait")


def test_the_check_reports_the_kernels_clock() -> None:
    """Whether this machine is synchronised is not ours to demand; that both answers agree is."""
    state, error_s = clock.kernel_clock()
    assert 0 <= state <= 5
    finding = examine("ntp", lambda: clock.check_ntp(with_environment()))
    synchronised = state != 5 and error_s <= clock.MAX_ERROR_S
    assert finding.level is (Level.OK if synchronised else Level.WARNING)
    assert "set-ntp" in finding.fix or synchronised


def test_a_date_that_is_set_while_it_is_checked() -> None:
    steps = iter([0.0, 0.25])
    with pytest.raises(CheckWarning, match=r"the date gained \+2[45]\d ms on the monotonic clock in 1 s"):
        clock.check_drift(with_environment(), lambda: time.time() + next(steps))


@pytest.mark.parametrize("domain", ["102", "-1", "seven", "1.5"])
def test_a_domain_that_is_none(domain: str) -> None:
    with pytest.raises(CheckFailed, match=f"ROS_DOMAIN_ID is '{domain}'") as caught:
        ros.check_domain(with_environment(ROS_DOMAIN_ID=domain))
    assert caught.value.fix == "choose a number from 0 to 101"


@pytest.mark.parametrize("domain", ["", "0"])
def test_a_domain_that_a_neighbour_shares_is_doubtful_unless_nobody_else_is_heard(domain: str) -> None:
    with pytest.raises(CheckWarning, match="every ROS 2 machine of this network"):
        ros.check_domain(with_environment(ROS_DOMAIN_ID=domain))
    for alone in ({"ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}, {"ROS_LOCALHOST_ONLY": "1"}):
        assert ros.check_domain(with_environment(ROS_DOMAIN_ID=domain, **alone)) == "domain 0, this machine only"
    assert ros.check_domain(with_environment(ROS_DOMAIN_ID="7")) == "domain 7"


@pytest.mark.parametrize(("value", "found"), [("OFF", "is OFF"), ("LOKALHOST", "is 'LOKALHOST'")])
def test_discovery_that_finds_nobody(value: str, found: str) -> None:
    with pytest.raises(CheckFailed, match=found):
        ros.check_discovery(with_environment(ROS_AUTOMATIC_DISCOVERY_RANGE=value))


def test_a_middleware_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RMW_IMPLEMENTATION", "rmw_absent_cpp")
    with pytest.raises(CheckFailed, match="rmw_absent_cpp") as caught:
        ros.check_middleware(with_environment(RMW_IMPLEMENTATION="rmw_absent_cpp"))
    assert "ros-$ROS_DISTRO-rmw-absent-cpp" in caught.value.fix


def test_a_server_that_is_ready(url: str, tmp_path: Path) -> None:
    assert check_server(Machine(tmp_path, url + "/")) == f"{url}/ is ready"


@pytest.mark.parametrize("url", [{"status": 503}], indirect=True)
def test_a_server_that_is_not_ready(url: str, tmp_path: Path) -> None:
    with pytest.raises(CheckFailed, match="answers with 503"):
        check_server(Machine(tmp_path, url))


@pytest.mark.parametrize("url", [{"late_s": 60.0}], indirect=True)
def test_a_server_with_another_clock(url: str, tmp_path: Path) -> None:
    with pytest.raises(CheckFailed, match=r"clocks differ by (59|60|61) s"):
        check_server(Machine(tmp_path, url))


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "no-address"])
def test_a_server_that_is_not_there(url: str, tmp_path: Path) -> None:
    with pytest.raises(CheckFailed, match="does not answer") as caught:
        check_server(Machine(tmp_path, url))
    assert "ferry serve" in caught.value.fix


def test_the_server_is_asked_without_a_proxy(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    assert check_server(Machine(tmp_path, url)) == f"{url} is ready"


@pytest.mark.parametrize(
    ("name", "value", "fix"),
    [("HOME", "/proc/nohome", "export HOME="), ("ROS_DOMAIN_ID", "250", "export ROS_DOMAIN_ID=")],
)
def test_no_node_for_another_reason_than_a_package(
    name: str, value: str, fix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(CheckFailed) as caught:
        ros.check_ros(Machine(Path.cwd(), environment=os.environ))
    assert caught.value.fix.startswith(fix)


@pytest.mark.parametrize(
    ("name", "value"), [("PYOPENGL_PLATFORM", "osmesa"), ("MUJOCO_EGL_DEVICE_ID", "77"), ("MUJOCO_GL", "glfw")]
)
def test_a_variable_that_keeps_opengl_from_drawing_is_named(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MUJOCO_GL", "egl")
    monkeypatch.setenv(name, value)
    with pytest.raises(CheckFailed) as caught:
        machine.check_gl(Machine(Path.cwd(), environment=os.environ))
    assert caught.value.fix.startswith(f"unset {name}")
    assert f"unset {name}" in str(caught.value)


@pytest.mark.parametrize(
    ("files", "removes"),
    [
        ({}, True),
        ({"etc/systemd/logind.conf": "#RemoveIPC=no"}, True),
        ({"etc/systemd/logind.conf": "[Login]\nRemoveIPC=no"}, False),
        ({"etc/systemd/logind.conf": "RemoveIPC=yes", "etc/systemd/logind.conf.d/ros.conf": "RemoveIPC = no"}, False),
    ],
)
def test_what_logind_is_asked_for(files: dict[str, str], removes: bool, tmp_path: Path) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert ros.remove_ipc(tmp_path) == removes


@pytest.mark.skipif(os.getuid() != 0, reason="only root gives files away")
def test_nodes_of_another_user_are_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_memory, "FOLDER", tmp_path)
    held, left = tmp_path / "fastrtps_a_el", tmp_path / "fastrtps_b_el"
    for path in (held, left):
        path.touch()
        os.chown(path, 1234, 1234)
    with held.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert shared_memory.strangers() == {1234: 1}
        with pytest.raises(CheckWarning, match="uid 1234"):
            ros.check_memory(Machine(tmp_path))
    assert shared_memory.strangers() == {}


def test_discovery_says_who_is_reached() -> None:
    assert "drive this robot" in ros.check_discovery(with_environment(ROS_AUTOMATIC_DISCOVERY_RANGE="SUBNET"))
    assert "discovery:=subnet" in ros.check_discovery(with_environment())
    alone = with_environment(ROS_LOCALHOST_ONLY="1", ROS_AUTOMATIC_DISCOVERY_RANGE="SUBNET")
    assert "this machine only (ROS_LOCALHOST_ONLY=1)" in ros.check_discovery(alone)


def test_a_finding_is_one_line_and_one_with_what_to_do() -> None:
    assert str(Finding("disk", Level.OK, "80 GB free")) == "ok    disk         80 GB free"
    line, fix = str(Finding("disk", Level.FAIL, "full", "rm -r runs")).splitlines()
    assert line == "FAIL  disk         full"
    assert fix == f"{'':<19}fix: rm -r runs"


def test_the_verb_says_what_is_wrong_and_how_to_mend_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--only", "clock"]) == 0
    assert capsys.readouterr().out.startswith("ok    clock")
    assert main(["--only", "clock", "--server", "http://127.0.0.1:1"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("ok    clock")
    assert lines[1].startswith("FAIL  server")
    assert lines[2].strip().startswith("fix: ")


def test_an_unknown_check_lists_those_there_are() -> None:
    with pytest.raises(OptionError, match=r"'weather'.*'python'"):
        main(["--only", "weather"])
