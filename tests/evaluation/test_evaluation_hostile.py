"""Records and plans that somebody made to do harm: one line, quickly, and nothing is read that is not ours."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from episodes import plan_of, run_folder

from evaluation.errors import FolderError, PlanError, RecordError
from evaluation.plans.plan import read_plan
from evaluation.plans.trial import Outcome, Trial
from evaluation.records.episode import EPISODE_FILE, VIDEO_FILE, read_json
from evaluation.records.run_folder import RunFolder
from evaluation.reporting.report import main, write_report
from robots.processes.text import printable

BOMB = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 10)}]\n" for before, name in zip("abcdefgh", "bcdefghi")
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (BOMB, "more than 100000 values"),
        ("a: &a [*a]\n", "contain themselves"),
        ("a: " + "[" * 100_000, "nested deeper than 64"),
        ("name: a\nseed: " + "9" * 5000, "plan.yaml"),
        ("name: a\nseed: 100000000000000000000000\npolicies: []", "more than 64 bits"),
        ("name: 2026-13-45", "plan.yaml"),
    ],
    ids=["aliases", "itself", "deep", "digits", "huge", "date"],
)
def test_a_plan_that_grows_without_end_is_refused(tmp_path: Path, text: str, expected: str) -> None:
    (tmp_path / "plan.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(PlanError, match=expected):
        read_plan(tmp_path / "plan.yaml")


def test_a_record_that_is_nested_too_deep_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("[" * 100_000, encoding="utf-8")
    with pytest.raises(RecordError, match="nested too deep"):
        read_json(tmp_path / "a.json")


def written(home: Path, name: str = "plan") -> RunFolder:
    """An evaluation of two trials."""
    return run_folder(home, {"mini": [Outcome.SUCCESS], "random": [Outcome.FAILURE]}, plan_of(name, 1))


def changed(run: RunFolder, **fields: object) -> None:
    """Writes other values into the first record."""
    path = run.trial(run.info.plan.trials()[0]) / EPISODE_FILE
    path.write_text(json.dumps(json.loads(path.read_text()) | fields), encoding="utf-8")


def test_a_number_beyond_all_counting_is_refused(tmp_path: Path) -> None:
    run = written(tmp_path / "run")
    changed(run, metrics={"collisions": 10**400})
    with pytest.raises(RecordError, match=r"metrics\.collisions: got a whole number of more than 64 bits"):
        run.episodes()


@pytest.mark.parametrize("name", [VIDEO_FILE, "filmstrip.jpg"])
def test_a_report_follows_no_link(tmp_path: Path, name: str) -> None:
    run = written(tmp_path / "run")
    secret = tmp_path / "secret"
    secret.write_text("secret", encoding="utf-8")
    (run.trial(run.info.plan.trials()[0]) / name).symlink_to(secret)
    with pytest.raises(FolderError, match=f"{name}: got a link"):
        write_report([run], tmp_path / "report")
    assert not list((tmp_path / "report").rglob("*.webm"))


def test_a_record_of_elsewhere_is_ignored(tmp_path: Path) -> None:
    run = written(tmp_path / "run")
    (tmp_path / "away").mkdir()
    (tmp_path / "away" / VIDEO_FILE).write_text("secret", encoding="utf-8")
    (run.path / "trials" / "0000-x").mkdir()
    with pytest.raises(FolderError, match="got a link"):
        run.media(Trial(0, 0, "a", "x/../../../away", 0, 1), VIDEO_FILE)


def test_escapes_do_not_reach_a_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert printable("a\x1b]0;title\x07\u202eb\tc\nd ü") == "a\\x1b]0;title\\x07\\u202eb\tc\nd ü"
    run = written(tmp_path / "run", "\x1b[2Jplan")
    changed(run, robot="\x1b[31mtwin")
    main([str(run.path), "--output", str(tmp_path / "report")])
    assert "\x1b" not in capsys.readouterr().out
