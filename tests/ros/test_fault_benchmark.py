"""The fault benchmark itself: what it counts, and the launches whose reader it takes away."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from ros_graph import wait_until

from benchmarks.faults.launch import PIPE, TERMINAL, Launch
from benchmarks.faults.plants import FAULTS, tried_so_far
from benchmarks.faults.process import end, lives, remove_shared_memory, spawn
from benchmarks.faults.table import TITLES, Tried, overview, summary, table
from benchmarks.faults.truth import Truth


def tried(**values: object) -> Tried:
    return Tried(
        **{"body": "piper", "fault": "frozen", "stood_s": 0.4, "way": 0.03, "began": 0, "reason": "", **values}
    )


def test_a_motion_after_what_failed_is_back_stands_in_the_table() -> None:
    tries = [tried(), tried(back_began=2, back_way=0.25, back_stood_s=6.5), tried(back_way=0.001)]
    text = table(tries, ["piper"], ["frozen"])
    assert "| frozen | 3 | 0.40 | 0.40 | 0.030 | 0 | 1 | 2 | 6.50 | 0.250 | 0 |" in text
    assert "after: 1 of 3, 0.25 m" in text
    assert "piper, frozen: 2 motions and 0.250 m after it was back" in summary(tries, 1.0)


def test_the_table_of_the_documentation_is_that_of_the_tries() -> None:
    root = Path(__file__).parents[2]
    tries = [
        one for body in TITLES for one in tried_so_far(root / "benchmarks" / "results" / "faults" / f"{body}.jsonl")
    ]
    assert overview(tries, list(FAULTS), 20) in (root / "docs" / "safety.md").read_text()


def test_a_robot_that_never_moves_again_is_no_success() -> None:
    one = tried().with_trouble("", "does not move again: no trial began")
    assert one.trouble == "does not move again: no trial began"
    assert "1 had other trouble" in summary([one], 1.0)


def test_a_body_that_creeps_has_moved() -> None:
    truth = Truth()
    truth.samples = [(0.02 * step, (1e-4 * step,)) for step in range(501)]
    assert truth.way(0.0) == pytest.approx(0.05)
    assert truth.way(5.0, 7.5) == pytest.approx(0.0124)
    truth.samples = [(0.02 * step, tuple(np.array([0.3, 0.4]) * min(step, 100) / 100)) for step in range(501)]
    assert truth.last_moved_s() == pytest.approx(2.0)
    assert truth.last_moved_s(1.0) == pytest.approx(0.98)


@pytest.mark.parametrize("output", [PIPE, TERMINAL])
def test_a_launch_without_a_reader_leaves_nothing_behind(tmp_path: Path, output: str) -> None:
    command = [sys.executable, "-u", "-c", "import time\nwhile True: print('alive'); time.sleep(0.01)"]
    launch = Launch({"talker": command}, tmp_path, output, None)
    try:
        wait_until(lambda: "alive" in (tmp_path / "launch.log").read_text(), 20.0)
        pids = launch.alive()
        assert len(pids) == 2
        launch.close_output()
        if output == TERMINAL:
            assert launch.gone()
    finally:
        launch.close()
    wait_until(lambda: not any(map(lives, pids)), 5.0)


def test_an_output_that_is_held_is_read_again_later(tmp_path: Path) -> None:
    launch = Launch({"talker": [sys.executable, "-u", "-c", "input()"]}, tmp_path, PIPE, None)
    try:
        launch.hold(True)
        assert launch.gone()  # its standard input is nothing: it ends, and the launch with it
        held = (tmp_path / "launch.log").read_text()
        launch.hold(False)
        wait_until(lambda: "EOFError" in (tmp_path / "launch.log").read_text(), 5.0)
        assert "EOFError" not in held
    finally:
        launch.close()


def test_a_frozen_process_is_ended_too() -> None:
    process = spawn(["sleep", "60"])
    process.send_signal(19)
    end(process)
    assert process.poll() == -9


def test_shared_memory_that_others_use_is_not_removed() -> None:
    with pytest.raises(PermissionError):
        remove_shared_memory()


def test_whatever_a_killed_benchmark_started_ends_with_it(tmp_path: Path) -> None:
    script = "import time\nfrom benchmarks.faults.process import spawn\nprint(spawn(['sleep', '60']).pid, flush=True)\n"
    script += "time.sleep(60)"
    folder = Path(__file__).parents[2]
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, cwd=folder)
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    parent.stdout.close()
    deadline = time.monotonic() + 5.0
    while lives(pid):
        assert time.monotonic() < deadline
