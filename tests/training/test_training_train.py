"""`ferry train`: its stages, their help, and its progress on the terminal."""

from __future__ import annotations

import pytest

from training.errors import CheckpointError, ConfigError, DataError, Diverged, ExportError, RewardError, TrainingError
from training.runtime.progress import Bar
from training.train import STAGES, main


@pytest.mark.parametrize("words", [[], ["-h"], ["--help"]])
def test_help_lists_every_stage(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 0
    output = capsys.readouterr().out
    assert all(f"  {name} " in output and summary in output for name, (summary, _) in STAGES.items())


def test_an_unknown_stage_is_named() -> None:
    expected = "stage: got 'fly', expected one of perception, collect, bc, dagger, ppo, "
    with pytest.raises(ConfigError, match=expected):
        main(["fly"])


@pytest.mark.parametrize("stage", STAGES)
def test_every_stage_has_help_of_its_own(stage: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main([stage, "--help"])
    assert end.value.code == 0
    output = capsys.readouterr().out
    assert f"ferry train {stage}" in output
    assert "--checkpoint" in output or "--run" in output


@pytest.mark.parametrize("stage", STAGES)
def test_an_unknown_option_is_refused(stage: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main([stage, "--colour", "red"])
    assert end.value.code == 2
    assert "--colour" in capsys.readouterr().err


@pytest.mark.parametrize("kind", [CheckpointError, ConfigError, DataError, Diverged, ExportError, RewardError])
def test_errors_are_of_one_tree(kind: type[Exception]) -> None:
    assert issubclass(kind, TrainingError)


def test_an_error_says_what_was_got_and_expected() -> None:
    error = ConfigError("width", 30, "a multiple of 4")
    assert str(error) == "width: got 30, expected a multiple of 4"
    assert (error.what, error.got, error.expected) == ("width", 30, "a multiple of 4")
    lost = Diverged(7, float("inf"), "runs/mini/bc/last.pt")
    assert str(lost) == "loss at step 7: got inf, expected a number; the last good checkpoint is runs/mini/bc/last.pt"


def test_a_bar_shows_its_steps_and_says_lines(capsys: pytest.CaptureFixture[str]) -> None:
    with Bar("collect", 4, "episodes") as bar:
        bar.advance(2)
        bar.steps(30)
        bar.write("half of it")
        bar.advance(2)
    output = capsys.readouterr().err
    assert "half of it\n" in output
    assert "4/4" in output
    assert "30 steps" in output


def test_a_bar_shows_notes(capsys: pytest.CaptureFixture[str]) -> None:
    with Bar("perception", 1, "batches") as bar:
        bar.note(loss="0.123")
        bar.advance()
    assert "loss=0.123" in capsys.readouterr().err
