"""PPO on a tiny run with real simulators: what a run leaves behind, and that nothing of it is ever lost."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from checkpoints import different, same
from ended_verb import run_and_end
from pool_here import without_processes
from ppo_runs import cloned, episode, options
from small_policies import TINY, tiny_policy

from simulation.errors import WorkersLost
from training.errors import CheckpointError, RanksLost, RewardError
from training.rl.options import FORMER_NAMES
from training.rl.ppo import PpoTrainer, main
from training.rl.reward import RewardOptions
from training.rl.rollout import RolloutCollector
from training.rl.rollout_buffer import RolloutBuffer
from training.runtime.checkpoint import load, new_policy, policy_from, policy_payload, save

pytestmark = pytest.mark.slow

UPDATES = 3
POOLS = ("training.rl.rollout", "training.closed_loop.evaluate")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return cloned(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def unbroken(run: Path) -> dict[str, Any]:
    """The checkpoint of an uninterrupted run."""
    with pytest.MonkeyPatch.context() as patch:
        without_processes(patch, *POOLS)  # `Accidents` happen to those that have them
        PpoTrainer(options(run, "unbroken")).run(updates=UPDATES)
    return load(run / "unbroken" / "last.pt", "policy")


def test_the_image_encoder_is_never_changed(run: Path, unbroken: dict[str, Any]) -> None:
    clone = load(run / "bc" / "best.pt", "policy")["weights"]
    encoder = [name for name in clone if name.startswith("image_encoder.")]
    assert encoder
    assert all(torch.equal(clone[name], unbroken["weights"][name]) for name in encoder)
    assert not torch.equal(clone["actor.weight"], unbroken["weights"]["actor.weight"])


def test_a_ppo_run_hands_its_critic_on(run: Path, unbroken: dict[str, Any]) -> None:
    clone = run / "unbroken" / "last.pt"
    critic = unbroken["critic"]
    made, fresh = PpoTrainer(options(run, clone=clone)), PpoTrainer(options(run, clone=clone, from_scratch=True))
    own = made.model.state_dict()
    assert same(critic, {name: own[name] for name in critic})
    assert not torch.equal(critic["value.weight"], fresh.model.value.weight)


def test_a_resumed_run_equals_an_unbroken_one(
    run: Path, unbroken: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    without_processes(monkeypatch, *POOLS)
    PpoTrainer(options(run, "broken")).run(updates=1)
    torch.manual_seed(12345)  # another process has other random numbers
    second = PpoTrainer(options(run, "broken"))
    second.resume()
    assert second.update == 1
    second.run(updates=UPDATES - 1)
    assert different(unbroken, load(run / "broken" / "last.pt", "policy")) == []


class Accidents:
    """Kills a simulator in the second update and freezes another in the third, while the run asks whether to stop."""

    def __init__(self, trainer: PpoTrainer) -> None:
        self.trainer, self.asked = trainer, Counter[int]()
        self.struck: dict[signal.Signals, int] = {}

    def __call__(self) -> bool:
        """Never stops the run."""
        self.asked[self.trainer.update] += 1
        for update, what in ((1, signal.SIGKILL), (2, signal.SIGSTOP)):
            # The second question is put once a worker that had started has sent something of this update.
            if self.trainer.update == update and self.asked[update] > 1 and what not in self.struck:
                self.struck[what] = victim = next(iter(multiprocessing.active_children())).pid or 0
                os.kill(victim, what)
        return False


def test_simulators_that_die_or_hang_are_replaced_and_change_nothing(run: Path, unbroken: dict[str, Any]) -> None:
    trainer = PpoTrainer(options(run, "failing", stall_s=10.0))
    accidents = Accidents(trainer)
    trainer.run(accidents, updates=UPDATES)
    assert len(accidents.struck) == 2
    assert not any(Path(f"/proc/{pid}").exists() for pid in accidents.struck.values())
    assert different(unbroken, load(run / "failing" / "last.pt", "policy")) == []


def after(calls: int) -> Callable[[], bool]:
    """Says True from the given call on."""
    left = iter(range(calls))
    return lambda: next(left, None) is None


def test_stopping_in_the_middle_of_playing_loses_nothing(
    run: Path, unbroken: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    without_processes(monkeypatch, *POOLS)
    made = PpoTrainer(options(run, "stopped"))
    made.run(updates=1)
    with pytest.raises(KeyboardInterrupt):
        made.run(after(1))  # one of the second update's two jobs is played
    assert load(run / "stopped" / "last.pt", "policy")["update"] == 1
    again = PpoTrainer(options(run, "stopped"))
    again.resume()
    again.run(updates=UPDATES - 1)
    assert different(unbroken, load(run / "stopped" / "last.pt", "policy")) == []


@pytest.mark.parametrize(("change", "message"), [
    ({"lr": 5e-4}, "got lr 0.001, expected 0.0005 as requested"),
    ({"reward": RewardOptions()}, "got reward .*, expected .* as requested"),
])  # fmt: skip
def test_a_run_is_not_resumed_with_other_options(run: Path, change: dict[str, Any], message: str) -> None:
    PpoTrainer(options(run, "other")).save("last.pt")
    with pytest.raises(CheckpointError, match=message):
        PpoTrainer(options(run, "other", **change)).resume()


def test_a_run_whose_options_had_their_former_names_is_resumed(run: Path) -> None:
    PpoTrainer(options(run, "former", clip_coef=0.2)).save("last.pt")
    payload = load(run / "former" / "last.pt", "policy")
    former = {new: old for old, new in FORMER_NAMES.items()}
    payload["training"] = {former.get(name, name): value for name, value in payload["training"].items()}
    assert payload["training"]["clip"] == 0.2
    save(run / "former" / "last.pt", "policy", payload)
    PpoTrainer(options(run, "former", clip_coef=0.2)).resume()
    with pytest.raises(CheckpointError, match=r"got clip_coef 0\.2, expected 0\.1"):
        PpoTrainer(options(run, "former", clip_coef=0.1)).resume()


def test_a_resumed_run_does_without_its_clone_but_takes_no_other(run: Path, tmp_path: Path) -> None:
    shutil.copytree(run / "bc", tmp_path / "bc")
    PpoTrainer(options(tmp_path, "moved")).save("last.pt")
    (tmp_path / "bc").rename(tmp_path / "there")
    again = PpoTrainer(options(tmp_path, "moved", resume=True))
    again.resume()
    assert again.payload()["clone"] == str(tmp_path / "bc" / "best.pt")
    moved = tmp_path / "there" / "best.pt"
    again = PpoTrainer(options(tmp_path, "moved", resume=True, clone=moved))
    again.resume()
    assert again.payload()["clone"] == str(moved)
    save(moved, "policy", policy_payload(tiny_policy(77)))
    other = PpoTrainer(options(tmp_path, "moved", resume=True, clone=moved))
    with pytest.raises(CheckpointError, match=r"there/best.pt: got a clone with SHA-256 .*, which the run in .*moved"):
        other.resume()


@pytest.mark.parametrize("error", [RewardError("nan"), WorkersLost("gone"), RanksLost("gone")])
def test_what_was_learnt_is_kept_when_playing_fails(
    run: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    made = PpoTrainer(options(run, f"fails_{type(error).__name__}", save_every_s=1e9))
    made.update_policy(RolloutBuffer.of([episode(3, n) for n in range(4)]))
    assert not made.last.exists()

    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(RolloutCollector, "collect", fail)
    with pytest.raises(type(error)):
        made.run()
    assert load(made.last, "policy")["update"] == 1


def test_a_run_of_another_size_goes_on_with_its_own(run: Path, tmp_path: Path) -> None:
    """The policy comes from last.pt; the size of what --clone names by default does not matter."""
    PpoTrainer(options(run, "size")).save("last.pt")
    shutil.copytree(run / "size", tmp_path / "size")
    (tmp_path / "bc").mkdir()
    save(tmp_path / "bc" / "best.pt", "policy", policy_payload(new_policy(replace(TINY, width=2 * TINY.width))))
    again = PpoTrainer(options(tmp_path, "size", resume=True))
    again.resume()
    assert again.config == TINY


def test_the_verb_trains_evaluates_and_keeps_the_best(
    run: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    without_processes(monkeypatch, *POOLS)
    words = [
        *("--run", str(run), "--name", "verb", "--steps", "10", "--episodes", "3", "--warmup", "0", "--workers", "1"),
        *("--jobs", "1", "--context", "16", "--play.max-steps", "5", "--play.slots", "3", "--threads", "1"),
        *("--evaluate-every", "1000", "--evaluate-episodes", "1", "--evaluate-steps", "8", "--no-bf16"),
    ]
    assert main(words) == 0
    output = capsys.readouterr()
    assert "validation at 0 steps: greedy 0.0%, sample 0.0%" in output.err
    assert output.err.index("measuring the clone first: ") < output.err.index("validation at 0 steps")
    assert "success_window 0, " in output.err
    assert "best validation success 0.0% (best.pt)" in output.out
    best = load(run / "verb" / "best.pt", "policy")
    assert best["algorithm"] == "PPO (FLaRe)"
    assert best["best"] == 0.0
    assert policy_from(best, run).config == TINY
    assert list((run / "verb" / "tensorboard").iterdir())
    assert not (run / "verb" / "candidate.pt").exists()
    assert load(run / "verb" / "last.pt", "policy")["steps"] >= 10


def test_a_hang_up_saves_and_the_run_goes_on(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C, and processes: test_training_distributed.py."""
    without_processes(monkeypatch, *POOLS)
    shutil.copytree(run / "bc", tmp_path / "bc")
    words = ["train", "ppo", "--run", str(tmp_path), "--evaluate-every", "0", "--workers", "1", "--jobs", "1"]
    words += ["--episodes", "3", "--play.max-steps", "5", "--context", "16", "--save-every-s", "1e9", "--threads", "1"]
    assert run_and_end(signal.SIGHUP, "update 2, ", *words) == 130
    assert "ferry train: interrupted" in capsys.readouterr().err
    saved = load(tmp_path / "ppo" / "last.pt", "policy")
    assert saved["update"] >= 2
