"""The progress bar: an earlier run's steps do not count in this one's rate."""

from __future__ import annotations

import re
import time

import pytest

from training.runtime.progress import Bar


def test_resumed_steps_do_not_count_as_speed(capsys: pytest.CaptureFixture[str]) -> None:
    with Bar("ppo", 1000, "steps", done=900) as bar:
        time.sleep(0.1)
        bar.advance(5)
        bar.note(success="50.0%")
    last = capsys.readouterr().err.splitlines()[-1].split("\r")[-1]
    assert "905/1000" in last
    assert "success=50.0%" in last
    rate = re.search(r"([\d.]+) ?(s/)? steps", last)
    assert rate is not None
    assert rate[2] or float(re.search(r"([\d.]+) steps/s", last)[1]) <= 50.0  # type: ignore[index]  # 5 in 0.1 s or more


def test_a_count_is_corrected(capsys: pytest.CaptureFixture[str]) -> None:
    with Bar("ppo", 1000, "steps") as bar:
        bar.advance(700)  # some of them were played twice
        bar.at(600)
        bar.write("update 1")
    output = capsys.readouterr().err
    assert "update 1" in output
    assert "600/1000" in output.split("\r")[-1]


def test_steps_alone_move_the_line(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    with Bar("evaluate", 200, "episodes") as bar:
        time.sleep(0.3)  # longer than the bar's own interval
        bar.steps(40)
        assert "40 steps" in capsys.readouterr().err


def test_the_clock_of_a_bar_moves_while_nothing_is_counted(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    shown, until = "", time.monotonic() + 20
    with Bar("collect", 8, "episodes"):
        while "[00:01<" not in shown and "[00:02<" not in shown and time.monotonic() < until:
            time.sleep(0.1)
            shown += capsys.readouterr().err
    assert re.search(r"\[00:0[12]<", shown)
