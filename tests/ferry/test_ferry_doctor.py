"""The doctor: each check against something real that is well, and something real that is not."""

from __future__ import annotations

import http.server
import threading
import time
from collections.abc import Iterator
from email.utils import formatdate
from pathlib import Path

import pytest

from ferry import doctor
from ferry.doctor import CHECKS, CheckFailed, Machine


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


@pytest.mark.parametrize("name", ["python", "gl", "ros", "onnxruntime", "disk", "clock"])
def test_this_machine_is_well(name: str, tmp_path: Path) -> None:
    assert CHECKS[name](Machine(tmp_path))


@pytest.mark.parametrize(("version", "said"), [((3, 10, 4), "3.10.4: drives a robot"), ((3, 12, 0), "3.12.0")])
def test_python_that_is_new_enough(version: tuple[int, ...], said: str, tmp_path: Path) -> None:
    assert doctor.check_python(Machine(tmp_path, python=version)).startswith(said)


def test_python_that_is_too_old(tmp_path: Path) -> None:
    with pytest.raises(CheckFailed, match=r"3.9.2") as caught:
        doctor.check_python(Machine(tmp_path, python=(3, 9, 2)))
    assert "python3.11" in caught.value.fix


def test_a_disk_that_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "DISK_GB", 1e9)
    with pytest.raises(CheckFailed, match="GB free in"):
        doctor.check_disk(Machine(tmp_path))


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("import ferry_no_such_module", "No module named 'ferry_no_such_module'"),
        ("import os; os.kill(os.getpid(), 11)", "exit status -11"),
    ],
)
def test_what_fails_in_its_own_process_is_one_line(code: str, found: str) -> None:
    with pytest.raises(CheckFailed, match=found) as caught:
        doctor.run_python(code, "pip install it")
    assert caught.value.fix == "pip install it"


def test_what_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "TIMEOUT_S", 0.3)
    with pytest.raises(CheckFailed, match="no answer within"):
        doctor.run_python("import time; time.sleep(30)", "wait")


def test_a_server_that_is_ready(url: str, tmp_path: Path) -> None:
    assert doctor.check_server(Machine(tmp_path, url + "/")) == f"{url}/ is ready"


@pytest.mark.parametrize("url", [{"status": 503}], indirect=True)
def test_a_server_that_is_not_ready(url: str, tmp_path: Path) -> None:
    with pytest.raises(CheckFailed, match="answers with 503"):
        doctor.check_server(Machine(tmp_path, url))


@pytest.mark.parametrize("url", [{"late_s": 60.0}], indirect=True)
def test_a_server_with_another_clock(url: str, tmp_path: Path) -> None:
    with pytest.raises(CheckFailed, match=r"clocks differ by (59|60|61) s"):
        doctor.check_server(Machine(tmp_path, url))


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "no-address"])
def test_a_server_that_is_not_there(url: str, tmp_path: Path) -> None:
    with pytest.raises(CheckFailed, match="does not answer") as caught:
        doctor.check_server(Machine(tmp_path, url))
    assert "ferry serve" in caught.value.fix


def test_the_verb_says_what_is_wrong_and_how_to_mend_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert doctor.main(["--only", "clock"]) == 0
    assert capsys.readouterr().out.startswith("ok    clock")
    assert doctor.main(["--only", "clock", "--server", "http://127.0.0.1:1"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("ok    clock")
    assert lines[1].startswith("FAIL  server")
    assert lines[2].strip().startswith("fix: ")


def test_an_unknown_check_lists_those_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        doctor.main(["--only", "weather"])
    assert "'python'" in capsys.readouterr().err
