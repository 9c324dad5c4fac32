"""The comparisons: which trials run, which are skipped, and their table."""

from __future__ import annotations

import json
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tyro
from pool_here import without_processes
from variants import write_clone

from training.ablations import COMPARISONS, AblateOptions, Trial, current_flags, main, table, trials
from training.closed_loop.evaluate import wilson
from training.errors import CheckpointError, ConfigError
from training.rl.jsrl import JsrlOptions
from training.rl.options import RlOptions
from training.rl.pirlnav import PirlnavOptions
from training.rl.ppo import PpoOptions
from training.rl.sac import SacOptions

STAGES = {"ppo": PpoOptions, "sac": SacOptions, "jsrl": JsrlOptions, "pirlnav": PirlnavOptions}
SMALL = (
    "--evaluate-every 0 --episodes 2 --jobs 1 --warmup 0 --context 16 --no-bf16 --play.max-steps 4 --play.slots 2 "
    "--play.no-bf16 --save-every-s 0"
)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    without_processes(monkeypatch, "training.rl.rollout", "training.closed_loop.evaluate")
    return write_clone(tmp_path)


def parsed(words: list[str]) -> RlOptions:
    made = tyro.cli(STAGES[words[0]], args=words[1:])
    assert isinstance(made, RlOptions)
    return made


@pytest.mark.parametrize("name", [name for name, words in COMPARISONS.items() if words])
def test_every_comparison_is_one_command_that_differs_from_the_recipe(name: str) -> None:
    options = AblateOptions(steps=7000, seeds=(3,))
    made = parsed(Trial(options, name, 3).arguments())
    assert (made.steps, made.seed, made.name, made.resume) == (7000, 3, f"ablations/{name}_3", False)
    assert made.source == options.source
    assert made.target_kl == float("inf")
    recipe = parsed(Trial(options, "flare", 3).arguments())
    same = type(made) is PpoOptions and replace(made, name=recipe.name) == recipe
    assert same == (name == "flare")


def test_the_comparisons_are_the_papers() -> None:
    parse = {name: parsed(Trial(AblateOptions(), name, 0).arguments()) for name, words in COMPARISONS.items() if words}
    made = {name: options for name, options in parse.items() if isinstance(options, PpoOptions)}
    assert set(parse) - set(made) == {"sac", "sac_gentle"}
    assert made["lr_10x"].lr == pytest.approx(10 * made["flare"].lr)
    assert made["lr_10x"].critic_lr == pytest.approx(10 * made["flare"].critic_lr)
    assert made["shared"].shared
    assert made["entropy_bonus"].ent_coef == 0.2
    for name in ("scratch_sparse", "scratch_dense", "jsrl"):
        assert made[name].from_scratch
    for name in ("scratch_sparse", "scratch_dense", "jsrl"):  # PoliFormer's: ten times FLaRe's rate
        assert (made[name].lr, made[name].critic_lr, made[name].ent_coef) == (1e-3, 1e-3, 0.01)
    assert made["scratch_dense"].reward.shaping == 1.0
    assert made["scratch_dense"].reward.step == made["step_penalty"].reward.step == -0.01
    assert made["collision_penalty"].reward.collision == -0.5
    assert made["pirlnav"].shared


def test_renamed_flags_in_saved_arguments_are_read() -> None:
    former = "ppo --scratch --kl-stop inf --clip 0.2 --entropy-coefficient 0.2"
    assert current_flags(former) == "ppo --from-scratch --target-kl inf --clip-coef 0.2 --ent-coef 0.2"


def test_the_first_seed_comes_first_and_the_clone_once() -> None:
    order = [one.name for one in trials(AblateOptions(comparisons=("clone", "flare", "sac"), seeds=(0, 5)))]
    assert order == ["clone", "flare_0", "sac_0", "flare_5", "sac_5"]


def test_what_cannot_be_is_named(run: Path) -> None:
    with pytest.raises(ConfigError, match=r"comparison: got 'ppo2', expected one of clone, flare, sac, .*"):
        main(["--run", str(run), "--comparisons", "ppo2"])
    with pytest.raises(CheckpointError, match=r"none.pt: got no such file"):
        main(["--run", str(run), "--clone", str(run / "none.pt")])


def result(solved: int, houses: int, trial: Trial) -> dict[str, Any]:
    options = trial.options
    asked = {"episodes": options.houses, "split": options.split, "max_steps": options.max_steps}
    asked["checkpoint"] = str(trial.checkpoint)
    low, high = wilson(solved, houses)
    return {"options": asked, "sel": 0.25, "simulated": {"success": solved / houses, "low": low, "high": high}}


def test_the_table_has_every_seed_and_says_what_diverged(run: Path) -> None:
    options = AblateOptions(run, comparisons=("clone", "flare", "lr_10x"), seeds=(0, 1), houses=100, steps=5)
    for name, seed, solved in (("clone", 0, 40), ("flare", 0, 55), ("flare", 1, 65)):
        trial = Trial(options, name, seed)
        trial.folder.mkdir(parents=True)
        for sampling in ("greedy", "sample"):
            (trial.folder / f"test_{sampling}.json").write_text(json.dumps(result(solved, 100, trial)))
    (run / "ablations" / "lr_10x_1").mkdir()
    (run / "ablations" / "lr_10x_1" / "diverged.txt").write_text("loss at step 3: got nan\n")
    lines = table(options).splitlines()
    assert "| clone | 1 | 0 | 40.0 [30.9, 49.8] | 40.0 [30.9, 49.8] | 0.250 |  |" in lines
    both = "60.0: 55.0 [45.2, 64.4], 65.0 [55.3, 73.6]"
    assert f"| flare | 2 | 0, 0 | {both} | {both} | 0.250 |  |" in lines
    assert "| lr_10x | 0 | 0, 0 | - | - | - | loss at step 3: got nan |" in lines
    assert "    lr_10x: ferry train ppo --lr 1e-3 --critic-lr 5e-3" in lines
    assert Trial(options, "lr_10x", 1).finished
    assert not Trial(options, "lr_10x", 0).finished
    assert "| clone | 0 |" in table(replace(options, houses=50))  # other houses are another table
    assert "| clone | 0 |" in table(replace(options, clone=run / "bc" / "other.pt"))  # and so is another clone


def test_it_trains_judges_and_is_not_done_twice(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--run", str(run), "--comparisons", "flare", "--steps", "3", "--houses", "1", "--max-steps", "4"]
    words += ["--workers", "1", "--threads", "1", f"--more={SMALL}"]
    assert main(words) == 0
    output = capsys.readouterr().out
    assert "ferry train ppo --run" in output
    made = sorted(path.name for path in (run / "ablations" / "flare_0").iterdir())
    assert made == ["last.pt", "tensorboard", "test_greedy.json", "test_sample.json", "words.txt"]
    text = (run / "ablations" / "table.md").read_text()
    assert text in output
    assert "| flare | 1 | " in text
    before = (run / "ablations" / "flare_0" / "last.pt").read_bytes()
    assert main(words) == 0
    assert "ferry train ppo --run" not in capsys.readouterr().out
    assert (run / "ablations" / "flare_0" / "last.pt").read_bytes() == before


@pytest.mark.parametrize("change", [["--more=--evaluate-every 0 --gamma 0.9"], ["--task", "room_visit"]])
def test_a_run_of_other_words_is_not_taken_for_this_one(run: Path, change: list[str]) -> None:
    words = ["--run", str(run), "--comparisons", "flare"]
    trial = Trial(AblateOptions(run), "flare", 0)
    trial.folder.mkdir(parents=True)
    (trial.folder / "words.txt").write_text(f"{shlex.join(trial.recipe())}\n")
    (trial.folder / "diverged.txt").write_text("loss at step 3: got nan\n")
    with pytest.raises(CheckpointError, match=r"flare_0: got a run of 'ppo .*', expected 'ppo .*'; move it"):
        main([*words, *change])


def test_words_of_a_run_that_never_began_bind_nobody(run: Path) -> None:
    trial = Trial(AblateOptions(run), "flare", 0)
    trial.folder.mkdir(parents=True)
    (trial.folder / "words.txt").write_text("ppo --mistyped\n")
    trial.expect_same()
    (trial.folder / "words.txt").unlink()
    (trial.folder / "last.pt").write_bytes(b"")
    with pytest.raises(CheckpointError, match="got a run of 'unknown arguments'"):
        trial.expect_same()


def test_what_is_trained_is_what_is_judged() -> None:
    made = Trial(AblateOptions(task="room_visit", body="locobot"), "flare", 0)
    played = parsed(made.arguments()).play
    assert (played.task, played.body) == (("room_visit",), "locobot")
    assert made.result_path("greedy").name == "room_visit_test_greedy_locobot.json"


def test_a_run_that_diverges_is_a_result(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--run", str(run), "--comparisons", "lr_10x", "--steps", "3", "--houses", "1", "--workers", "1"]
    assert main([*words, "--threads", "1", f"--more={SMALL} --target-kl 1e-12"]) == 0
    assert "KL divergence at step 1: got" in capsys.readouterr().out
    assert (run / "ablations" / "lr_10x_0" / "diverged.txt").is_file()
