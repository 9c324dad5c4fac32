"""The progress line."""

from __future__ import annotations

import io
from typing import cast

import pytest
from episodes import episode_of, plan_of

from evaluation.plans.trial import Outcome
from evaluation.progress import WIDTH, Progress
from evaluation.step import Step


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_the_line_counts_trials_and_successes_by_policy() -> None:
    progress = Progress(12, ["mini", "random"], io.StringIO())
    first, second, third, *_ = plan_of().trials()
    progress.episode(episode_of(first, Outcome.SUCCESS))
    progress.episode(episode_of(second, Outcome.FAILURE))
    progress.episode(episode_of(third, Outcome.ABORTED))
    line = progress.line()
    assert line.startswith("[ 3/12] mini ")
    assert f"{first.policy} 1/1" in line
    assert "aborted 1" in line
    assert line.endswith(" left")


def test_the_judge_does_not_learn_which_policy_it_judges() -> None:
    progress = Progress(4, ["mini", "random"], io.StringIO(), blind=True)
    first, second, *_ = plan_of().trials()
    progress.episode(episode_of(first))
    progress.begin(second)
    assert "mini" not in progress.line()
    assert "random" not in progress.line()
    assert second.place in progress.line()


def test_a_terminal_sees_one_line_that_says_what_runs_now() -> None:
    stream = Terminal()
    progress = Progress(4, ["mini", "random"], stream)
    trial = plan_of().trials()[0]
    progress.begin(trial)
    progress.episode(episode_of(trial))
    progress.close()
    text = stream.getvalue()
    assert f"{trial.policy} in house 20000000, step 0" in text
    assert text.count("\n") == 1
    assert all(len(part) == WIDTH for part in text.strip("\n").split("\r")[1:])


def test_a_log_file_hears_of_a_long_trial_while_it_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("evaluation.progress.time.monotonic", lambda: now[0])
    stream = io.StringIO()
    progress = Progress(4, ["mini", "random"], stream)
    trial = plan_of().trials()[0]
    progress.begin(trial)
    for _ in range(30):
        now[0] += 1.0
        progress.on_step(cast(Step, None))
    lines = stream.getvalue().splitlines()
    assert [line.rpartition("step ")[2] for line in lines] == ["10", "20", "30"]
    assert all(line.startswith("[0/4] mini 0/0") for line in lines)


def test_a_log_file_sees_whole_lines_and_few_of_them() -> None:
    stream = io.StringIO()
    progress = Progress(8, ["mini", "random"], stream)
    for trial in plan_of().trials():
        progress.begin(trial)
        progress.episode(episode_of(trial))
    progress.close()
    assert stream.getvalue() == "[8/8] mini 4/4  random 4/4\n"
