"""`ferry conform` over the fake."""

from __future__ import annotations

import io
import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from ferry import conform
from ferry.errors import UsageError
from robots.conformance import CHECKS, Options, name_of
from robots.embodiments.stretch_re1 import STRETCH_RE1
from robots.fakes.kinematic import FakeRobot

QUICK = ["--yes", "--tune", "settle_s=0.02", "lag_s=0"]


class Terminal(io.StringIO):
    """Somebody who types at a terminal."""

    def isatty(self) -> bool:
        return True


def test_it_says_what_moves_and_what_it_found(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    words = ["fake", *QUICK, "--check", "stamps_increase", "base_steps_arrive", "--json", str(tmp_path / "report.json")]
    assert conform.main(words) == 0
    output = capsys.readouterr().out
    assert output.startswith("stretch_re1 will be connected and disconnected several times, and moves:")
    assert "base: at most one step of 0.2 m or 0.523599 rad at a time, and back; up to 0.3 m/s" in output
    assert output.index("clear around") < output.index("stamps_increase: Stamps strictly increase")
    assert output.endswith("stretch_re1: 2 passed, 0 failed of 2\n")
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["ok"]
    assert [one["status"] for one in report["results"]] == ["pass", "pass"]


def test_a_broken_rule_is_an_exit_status(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["fake", *QUICK, "--set", "fail_observe_after_s=0", "--check", "stamps_increase"]
    assert conform.main(words) == 1
    assert "FAIL    stamps_increase: observe(): got ConnectionError: fake camera unplugged" in capsys.readouterr().out


def test_it_lists_every_check(capsys: pytest.CaptureFixture[str]) -> None:
    assert conform.main(["--list"]) == 0
    output = capsys.readouterr().out
    assert all(name_of(check) in output for check in CHECKS)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["faek", "--yes"], "robot: got 'faek'; available: .*; did you mean 'fake'?"),
        (["fake", "--yes", "--set", "sped=1"], "option: got 'sped'; available: .*; did you mean 'speed'?"),
        (["fake", "--yes", "--tune", "settle=1"], "--tune: got 'settle'; available: .*; did you mean 'settle_s'?"),
        (["fake", "--yes", "--tune", "settle_s=soon"], "--tune: could not convert string to float: 'soon'"),
        (["fake", "--yes", "--check", "stamp_increases"], "check: got 'stamp_increases'.* mean 'stamps_increase'?"),
    ],
)
def test_what_does_not_exist_is_named(words: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        conform.main(words)


def test_nothing_moves_without_consent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FakeRobot, "connect", lambda _self: pytest.fail("it was connected"))
    monkeypatch.setattr(sys, "stdin", io.StringIO("yes\n"))
    with pytest.raises(UsageError, match="pass --yes if the robot may move"):
        conform.main(["fake"])
    monkeypatch.setattr(sys, "stdin", Terminal("no\n"))
    with pytest.raises(UsageError, match="nothing moved"):
        conform.main(["fake"])


def test_somebody_agrees(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal("yes\n"))
    assert conform.main(["fake", "--check", "stamps_increase"]) == 0


def test_an_arm_has_no_base_to_announce() -> None:
    joints = {"joint_lift": STRETCH_RE1.joints["joint_lift"], "joint_arm": STRETCH_RE1.joints["joint_arm"]}
    output = conform.motions(replace(STRETCH_RE1, base=None, joints=joints), Options(spared=("joint_arm",)))
    assert "base" not in output
    assert "joint_lift (up to 0.15 per s)" in output
    assert "joint_arm" not in output


def test_the_slower_body_and_real_time() -> None:
    make, slow = conform.makers("fake", {"speed": "0.4"})
    assert slow is not None
    fast_robot, slow_robot = make(), slow()
    assert isinstance(fast_robot, FakeRobot)
    assert isinstance(slow_robot, FakeRobot)
    assert fast_robot.options.real_time
    assert (fast_robot.options.speed, slow_robot.options.speed) == (0.4, 0.2)
