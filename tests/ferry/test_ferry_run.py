"""Running real processes: output, one end for all, an end that cannot be ignored, and nothing left behind."""

from __future__ import annotations

import io
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from ferry.errors import LaunchError, Where
from ferry.launcher.lookup import REPOSITORY, Program, python_command
from ferry.launcher.plan import Process
from ferry.launcher.run import RunOptions, run

STUBBORN = """
import signal, sys, time
signal.signal(signal.SIGINT, lambda *_: print("not for SIGINT", flush=True))
signal.signal(signal.SIGTERM, lambda *_: {term})
print("ready", flush=True)
while True:
    time.sleep(0.05)
"""


def process(name: str, code: str, *, respawn: bool = False, output: str = "screen", **environment: str) -> Process:
    return Process(
        name=name,
        origin="test",
        program=Program((sys.executable, "-c", code)),
        arguments=(),
        environment=environment,
        output=output,
        respawn=respawn,
        respawn_delay_s=0.01,
        where=Where(Path("a.launch.xml"), 3),
    )


def launch(*processes: Process, grace_s: float = 5.0, log_dir: Path | None = None) -> tuple[int, list[str]]:
    screen = io.StringIO()
    status = run(processes, RunOptions(log_dir, grace_s, screen))
    return status, screen.getvalue().splitlines()


def gone(pid: int) -> bool:
    """Waits for a process that is not our child to end; a zombie counts as ended."""
    for _ in range(200):
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except OSError:
            return True
        time.sleep(0.05)
    return False


def test_lines_stand_behind_the_name_of_their_process() -> None:
    status, lines = launch(
        process("talker", "import os, sys; print('one'); print('two', os.environ['X'], file=sys.stderr)", X="2")
    )
    assert status == 0
    assert sorted(lines[:2]) == ["[talker] one", "[talker] two 2"]
    assert lines[2] == "[ferry run] talker ended with exit status 0: stopping the others"


def test_the_last_line_is_that_of_the_process_that_ended_first() -> None:
    first = "print('[INFO] [1796039708.2] [robot.policy_node]: success: done'); print()"
    waits = "import time; print('begun', flush=True)\ntry: time.sleep(60)\nfinally: print('ended too')"
    status, lines = launch(process("first", f"import time; time.sleep(1); {first}"), process("second", waits))
    assert status == 0
    assert lines[-1] == "[ferry run] first: success: done"
    assert "[second] ended too" in lines


def test_a_line_longer_than_any_buffer_stays_one_line() -> None:
    _, lines = launch(process("talker", "import sys; print('x' * 300_000); sys.stdout.write('last')"))
    assert [len(line) for line in lines[:2]] == [len("[talker] ") + 300_000, len("[talker] last")]


def test_output_log_shows_errors_alone_and_logs_everything(tmp_path: Path) -> None:
    code = "import sys; print('quiet'); print('loud', file=sys.stderr)"
    _, lines = launch(process("node", code, output="log"), log_dir=tmp_path / "logs")
    assert "[node] loud" in lines
    assert "[node] quiet" not in lines
    assert sorted((tmp_path / "logs" / "node.log").read_text().split()) == ["loud", "quiet"]


def test_the_first_process_to_end_ends_all_with_its_status() -> None:
    status, lines = launch(process("waits", "import time; time.sleep(60)"), process("fails", "raise SystemExit(3)"))
    assert status == 3
    assert "[ferry run] fails ended with exit status 3: stopping the others" in lines


def test_a_process_that_a_signal_killed_counts_as_128_and_the_signal() -> None:
    status, _ = launch(process("dies", "import os; os.kill(os.getpid(), 9)"))
    assert status == 128 + signal.SIGKILL


def test_a_respawned_process_ends_nothing(tmp_path: Path) -> None:
    file = tmp_path / "count"
    file.touch()
    count = f"open({str(file)!r}, 'a').write('x')"
    ends = f"import os, time\nwhile os.path.getsize({str(file)!r}) < 3: time.sleep(0.02)"
    status, lines = launch(process("again", count, respawn=True), process("ends", ends))
    assert status == 0
    assert lines.count("[ferry run] again ended with exit status 0: starting it again") >= 2


def test_who_ignores_sigint_gets_sigterm() -> None:
    stubborn = process("stubborn", STUBBORN.format(term="sys.exit(0)"))
    status, lines = launch(stubborn, process("ends", "import time; time.sleep(0.5)"), grace_s=0.3)
    assert status == 0
    assert "[stubborn] not for SIGINT" in lines
    assert "[ferry run] still running: stubborn: sending SIGTERM" in lines
    assert not any("SIGKILL" in line for line in lines)


def test_who_ignores_sigterm_is_killed() -> None:
    stubborn = process("stubborn", STUBBORN.format(term="None"))
    _, lines = launch(stubborn, process("ends", "import time; time.sleep(0.5)"), grace_s=0.2)
    assert "[ferry run] still running: stubborn: sending SIGKILL" in lines


def test_grandchildren_end_with_their_parent(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    code = f"""
import subprocess, sys
waits = "import signal, time; signal.signal(2, signal.SIG_IGN); time.sleep(60)"
child = subprocess.Popen([sys.executable, "-c", waits])
open({str(pid)!r}, "w").write(str(child.pid))
"""
    launch(process("parent", code))
    assert gone(int(pid.read_text()))


def test_a_program_that_cannot_be_started_ends_the_others() -> None:
    missing = process("missing", "")
    broken = Process(**{**vars(missing), "program": Program(("/no/such/program",))})
    with pytest.raises(
        LaunchError, match=r"a.launch.xml:3: missing cannot be started: got 'No such file or directory'"
    ):
        launch(process("waits", "import time; time.sleep(60)"), broken)


LAUNCHER = """
import sys
sys.path[:0] = [{repository!r}, {here!r}]
from test_ferry_run import STUBBORN, launch, process
code = STUBBORN.format(term={term!r})
print(launch(process("a", code), process("b", code), grace_s={grace_s})[0])
"""


def start_launcher(tmp_path: Path, term: str, grace_s: float) -> tuple[subprocess.Popen[str], list[int]]:
    """Starts a launcher in a process of its own; returns it and its two children, which ignore SIGINT."""
    here = str(Path(__file__).parent)
    code = LAUNCHER.format(repository=str(REPOSITORY), here=here, term=term, grace_s=grace_s)
    launcher = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    children = Path(f"/proc/{launcher.pid}/task/{launcher.pid}/children")
    for _ in range(200):
        pids = [int(pid) for pid in children.read_text().split()]
        if len(pids) == 2 and all(ready(pid) for pid in pids):
            return launcher, pids
        time.sleep(0.05)
    raise AssertionError("the launcher has not started its children")


def ready(pid: int) -> bool:
    """Whether a child has installed its own SIGINT handler (a bit of SigCgt in /proc/PID/status)."""
    caught = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("SigCgt"))
    return bool(int(caught.split()[1], 16) >> (signal.SIGTERM - 1) & 1)


def test_ctrl_c_stops_everything_and_is_no_failure(tmp_path: Path) -> None:
    launcher, pids = start_launcher(tmp_path, "sys.exit(0)", 0.2)
    launcher.send_signal(signal.SIGINT)
    assert launcher.communicate(timeout=20)[0].strip() == "0"
    assert all(map(gone, pids))


def test_a_second_and_third_ctrl_c_wait_for_nothing(tmp_path: Path) -> None:
    launcher, pids = start_launcher(tmp_path, "None", 60.0)
    while launcher.poll() is None:
        launcher.send_signal(signal.SIGINT)
        time.sleep(0.2)
    assert launcher.communicate(timeout=20)[0].strip() == "1"
    assert all(map(gone, pids))


def test_a_killed_launcher_leaves_no_orphans(tmp_path: Path) -> None:
    launcher, pids = start_launcher(tmp_path, "sys.exit(0)", 60.0)
    launcher.kill()
    launcher.communicate(timeout=20)
    assert all(map(gone, pids))


def test_a_fake_ends_after_the_drivers_that_use_it(tmp_path: Path) -> None:
    code = "import pathlib, signal, time; signal.signal(signal.SIGINT, lambda *_: ends()); print('begun', flush=True)\n"
    code += f"ends = lambda: (time.sleep({{}}), print(pathlib.Path('{tmp_path}/gone').exists()), {{}}, exit(0))\n"
    code += "while True: time.sleep(0.05)"
    driver = process("driver", code.format(0.5, f"pathlib.Path('{tmp_path}/gone').touch()"))
    fake = replace(process("fake", code.format(0.0, "None")), origin="ferry_ros/fake_arm_controller")
    first = process("first", "import time; time.sleep(1)")
    _, lines = launch(fake, driver, first)
    assert lines.index("[driver] False") < lines.index("[fake] True")


def test_ctrl_c_while_a_node_still_imports_is_silent(tmp_path: Path) -> None:
    (tmp_path / "slow_node.py").write_text("import time; print('importing', flush=True); time.sleep(60)")
    command = python_command("slow_node", "main")
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as node:
        assert node.stdout is not None
        assert node.stderr is not None
        node.stdout.readline()
        node.send_signal(signal.SIGINT)
        assert node.stderr.read() == b""
    assert node.returncode == -signal.SIGINT
