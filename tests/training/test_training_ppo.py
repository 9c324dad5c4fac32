"""PPO on a tiny run with real simulators: what it may change, when it stops, and that nothing is ever lost."""

from __future__ import annotations

import multiprocessing
import os
import resource
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from checkpoints import copied, different, same
from small_policies import TINY, random_tokens, start_ferry, tiny_policy

from robots.stretch_re1 import SPOC_ACTIONS
from training.checkpoint import load, new_policy, policy_from, policy_payload, save
from training.dataset import Instructions, collate
from training.errors import CheckpointError, ConfigError, Diverged, RanksLost, RewardError, WorkersLost
from training.ppo import Trainer, main, train
from training.ppo_options import PpoOptions
from training.ppo_rollout import Played, PlayOptions, RewardOptions, joined

UPDATES = 3
PLAY = PlayOptions(max_steps=6, slots=2, bf16=False)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose clone is an untrained tiny policy that says `done` now and then."""
    folder = tmp_path_factory.mktemp("run")
    policy = tiny_policy(1)
    with torch.no_grad():
        policy.actor.bias[SPOC_ACTIONS.index("done")] += 1.0
    save(folder / "bc" / "best.pt", "policy", policy_payload(policy))
    return folder


def options(run: Path, name: str = "ppo", **changes: Any) -> PpoOptions:
    made = PpoOptions(
        run, name, episodes=4, warmup=1, epochs=2, minibatches=2, lr=1e-3, critic_lr=1e-3, play=PLAY, context=16,
        bf16=False, workers=1, shares=2, threads=1, evaluate_every=0,
        reward=RewardOptions(success=10.0, step=-0.1, collision=-0.5),
    )  # fmt: skip
    return replace(made, **changes)


def episode(steps: int, seed: int, *, done: bool = True, reward: float = 1.0) -> Played:
    """An episode made by hand, with another kind of feature for each action."""
    rng = np.random.default_rng(seed)
    looks = steps if done else steps + 1
    actions = rng.integers(0, 4, steps).astype(np.uint8)
    features = random_tokens(TINY, looks, seed=seed).numpy().astype(np.float16)
    earned = np.zeros(steps)
    earned[-1] = reward
    return Played(
        "go to a mug", features, rng.integers(0, 20, looks).astype(np.uint8), np.zeros(looks, np.uint8), actions,
        np.full(steps, -np.log(20.0), np.float32), earned, reward > 0, done, 0,
    )  # fmt: skip


def episodes(count: int = 6, reward: float = 1.0) -> list[Played]:
    return [episode(3 + n, n, done=n % 2 == 0, reward=reward * (n % 3)) for n in range(count)]


@pytest.fixture(scope="module")
def unbroken(run: Path) -> dict[str, Any]:
    """The checkpoint of a run without any trouble."""
    made = Trainer(options(run, "unbroken"))
    made.run(updates=UPDATES)
    return load(run / "unbroken" / "last.pt", "policy")


# What is learnt


def test_warm_up_leaves_the_actor_bit_identical(run: Path) -> None:
    made = Trainer(options(run, warmup=2))
    actor, values = copied(made.model.actor.state_dict()), copied(made.model.value.state_dict())
    for _ in range(2):
        figures = made._learn(episodes())
        assert "policy_loss" not in figures
        assert same(actor, made.model.actor.state_dict())
    assert not same(values, made.model.value.state_dict())
    assert "policy_loss" in made._learn(episodes())  # and then it learns
    assert not same(actor, made.model.actor.state_dict())


def test_the_image_encoder_is_never_changed(run: Path, unbroken: dict[str, Any]) -> None:
    clone = load(run / "bc" / "best.pt", "policy")["weights"]
    encoder = [name for name in clone if name.startswith("image_encoder.")]
    assert encoder
    assert all(torch.equal(clone[name], unbroken["weights"][name]) for name in encoder)
    assert not torch.equal(clone["actor.weight"], unbroken["weights"]["actor.weight"])


def test_what_is_rewarded_becomes_more_likely(run: Path) -> None:
    made = Trainer(options(run, warmup=0, lr=1e-2, kl_stop=float("inf")))
    good, bad = episode(6, 1, reward=10.0), episode(6, 2, reward=-10.0)
    before = [chance(made, one) for one in (good, bad)]
    for _ in range(4):
        made._learn([good, bad])
    after = [chance(made, one) for one in (good, bad)]
    assert after[0] > before[0]
    assert after[1] < before[1]


def chance(trainer: Trainer, one: Played) -> float:
    """Mean log-probability of an episode's actions."""
    block = joined([one])
    words = Instructions(block, trainer.tokenizer)
    with torch.no_grad():
        log_p = trainer.model.logits(collate(block, words, [[0]], 16), words)[0].log_softmax(-1)
    return float(log_p[range(len(one)), one.actions.astype(int)].mean())


def test_a_ppo_run_hands_its_critic_on(run: Path, unbroken: dict[str, Any]) -> None:
    clone = run / "unbroken" / "last.pt"
    critic = unbroken["critic"]
    made, fresh = Trainer(options(run, clone=clone)), Trainer(options(run, clone=clone, scratch=True))
    own = made.model.state_dict()
    assert same(critic, {name: own[name] for name in critic})
    assert not torch.equal(critic["value.weight"], fresh.model.value.weight)


def test_a_critic_that_shared_its_network_is_not_taken(run: Path) -> None:
    Trainer(options(run, "one_network", shared=True, seed=7))._save("last.pt")
    clone = run / "one_network" / "last.pt"
    made = Trainer(options(run, clone=clone))
    assert not torch.equal(load(clone, "policy")["critic"]["value.weight"], made.model.value.weight)


def test_masked_actions_are_never_learnt(run: Path) -> None:
    made = Trainer(options(run, warmup=0))
    made.mask[10:] = False
    head = copied(made.model.actor.actor.state_dict())
    made._learn(episodes())
    after = made.model.actor.actor.state_dict()
    assert torch.equal(after["weight"][10:], head["weight"][10:])
    assert torch.equal(after["bias"][10:], head["bias"][10:])
    assert not torch.equal(after["weight"][:10], head["weight"][:10])


def test_cut_off_episodes_go_on_with_the_critics_value(run: Path) -> None:
    made = Trainer(options(run, gamma=0.9, decay=1.0))
    ended, cut = episode(3, 0, reward=0.0), episode(3, 0, done=False, reward=0.0)
    one, other = made._experience([ended]), made._experience([cut])
    assert one.returns == pytest.approx(np.zeros(3), abs=1e-6)
    assert other.returns[:3] == pytest.approx(float(other.values[3]) * np.array([0.9**3, 0.9**2, 0.9]), rel=1e-4)
    assert other.acted.tolist() == [True, True, True, False]


def test_several_episodes_in_a_row_have_the_values_that_each_has_alone(run: Path) -> None:
    made = Trainer(options(run, context=64))
    some = episodes(5)
    together = made._experience(some)
    alone = [made._experience([one]) for one in some]
    assert together.values == pytest.approx(np.concatenate([one.values for one in alone]), abs=1e-5)
    assert together.advantages == pytest.approx(np.concatenate([one.advantages for one in alone]), abs=1e-5)


@pytest.mark.parametrize("change", [{"shared": True}, {"entropy_coefficient": 0.2}, {"bf16": True}], ids=str)
def test_ablations_run(run: Path, change: dict[str, Any]) -> None:
    made = Trainer(options(run, warmup=1, **change))
    before = copied(made.model.actor.state_dict())
    made._learn(episodes())
    assert same(before, made.model.actor.state_dict()) != made.options.shared  # its warm-up reaches the one network
    figures = made._learn(episodes())
    assert np.isfinite(list(figures.values())).all()


def test_from_scratch_only_the_image_encoder_is_the_clones(run: Path) -> None:
    clone, made = load(run / "bc" / "best.pt", "policy")["weights"], Trainer(options(run, scratch=True, seed=5))
    for name, one in made.model.actor.state_dict().items():
        if name.startswith("image_encoder."):
            assert torch.equal(one, clone[name]), name
    assert not torch.equal(made.model.actor.actor.weight, clone["actor.weight"])


# When it stops


def test_a_reward_that_is_no_number_stops_the_run(run: Path) -> None:
    made = Trainer(options(run, "nan", reward=RewardOptions(step=float("nan"))))
    made._save("last.pt")
    before = (run / "nan" / "last.pt").read_bytes()
    with pytest.raises(
        RewardError, match=r"reward in update 0, after step 0: got one that is no number, expected a number"
    ):
        made.run()
    assert (run / "nan" / "last.pt").read_bytes() == before
    assert made.update == 0


def test_a_policy_that_changes_too_fast_stops_the_run(run: Path) -> None:
    made = Trainer(options(run, "fast", warmup=0, kl_stop=1e-9))
    with pytest.raises(
        Diverged, match=r"KL divergence at step 1: got .*, expected at most 1e-09 \(kl_stop\); .*last.pt"
    ):
        made._learn(episodes())


def test_a_loss_that_is_no_number_stops_the_run_before_anything_is_changed(run: Path) -> None:
    made = Trainer(options(run, "loss", warmup=0))
    with torch.no_grad():
        made.model.value.weight[0, 0] = float("nan")
    actor = copied(made.model.actor.state_dict())
    with pytest.raises(Diverged, match=r"loss or gradient at step 0: got nan, expected a number; .*loss/last.pt"):
        made._learn(episodes())
    assert same(actor, made.model.actor.state_dict())


@contextmanager
def no_room() -> Iterator[None]:
    """Files may not grow beyond a few bytes, as on a full disk; pytest's own log among them, so only for a moment."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_is_named_and_the_old_checkpoint_kept(run: Path) -> None:
    made = Trainer(options(run, "full"))
    (run / "full").mkdir()
    (run / "full" / "last.pt").write_bytes(b"old")
    message = r"full/last.pt: got 'File too large', expected to write 1.* MB; what was"
    with pytest.raises(CheckpointError, match=message), no_room():
        made._save("last.pt")
    assert (run / "full" / "last.pt").read_bytes() == b"old"
    assert os.listdir(run / "full") == ["last.pt"]


def test_there_must_be_a_clone(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"bc/best.pt: got no such file"):
        Trainer(options(tmp_path))


def test_a_dense_reward_is_for_tasks_that_it_fits(run: Path) -> None:
    play = replace(options(run).play, task=("object_nav", "room_visit"))
    with pytest.raises(ConfigError, match=r"reward.shaping: got 1.0 in task 'room_visit', expected 0, or one of obj"):
        Trainer(options(run, play=play, reward=RewardOptions(shaping=1.0)))


def test_a_run_is_not_written_over(run: Path, tmp_path: Path) -> None:
    made = Trainer(options(run, "kept"))
    made._save("last.pt")
    before = made.last.read_bytes()
    with pytest.raises(CheckpointError, match=r"kept/last.pt: got one that is there, expected --resume to go on"):
        train(made)
    assert made.last.read_bytes() == before


# Nothing is lost


def test_a_resumed_run_equals_an_unbroken_one(run: Path, unbroken: dict[str, Any]) -> None:
    Trainer(options(run, "broken")).run(updates=1)
    torch.manual_seed(12345)  # another process has other random numbers
    second = Trainer(options(run, "broken"))
    second.resume()
    assert second.update == 1
    second.run(updates=UPDATES - 1)
    assert different(unbroken, load(run / "broken" / "last.pt", "policy")) == []


class Accident:
    """Kills or freezes a simulator in the second update, while the run asks whether to stop."""

    def __init__(self, what: signal.Signals, trainer: Trainer) -> None:
        self.what, self.trainer = what, trainer
        self.struck = 0
        self.asked = 0

    def __call__(self) -> bool:
        """Never stops the run."""
        self.asked += self.trainer.update == 1  # a simulator that still starts may say nothing for minutes
        if self.asked > 3 and not self.struck:
            self.struck = victim = next(iter(multiprocessing.active_children())).pid or 0
            os.kill(victim, self.what)
        return False


@pytest.mark.parametrize("what", [signal.SIGKILL, signal.SIGSTOP], ids=["dies", "hangs"])
def test_a_simulator_that_fails_is_replaced_and_changes_nothing(
    run: Path, unbroken: dict[str, Any], what: signal.Signals
) -> None:
    trainer = Trainer(options(run, what.name, stall_s=3.0))
    accident = Accident(what, trainer)
    trainer.run(accident, updates=UPDATES)
    assert accident.struck
    assert not Path(f"/proc/{accident.struck}").exists()
    assert different(unbroken, load(run / what.name / "last.pt", "policy")) == []


def after(calls: int) -> Callable[[], bool]:
    """Says True from the given call on."""
    left = iter(range(calls))
    return lambda: next(left, None) is None


def test_stopping_in_the_middle_of_playing_loses_nothing(run: Path, unbroken: dict[str, Any]) -> None:
    made = Trainer(options(run, "stopped"))
    made.run(updates=1)
    with pytest.raises(KeyboardInterrupt):
        made.run(after(4))
    assert load(run / "stopped" / "last.pt", "policy")["update"] == 1
    again = Trainer(options(run, "stopped"))
    again.resume()
    again.run(updates=UPDATES - 1)
    assert different(unbroken, load(run / "stopped" / "last.pt", "policy")) == []


@pytest.mark.parametrize(("change", "message"), [
    ({"lr": 5e-4}, "got lr 0.001, expected 0.0005 as asked for now"),
    ({"reward": RewardOptions()}, "got reward .*, expected .* as asked for now"),
])  # fmt: skip
def test_a_run_is_not_resumed_with_other_options(run: Path, change: dict[str, Any], message: str) -> None:
    Trainer(options(run, "other"))._save("last.pt")
    with pytest.raises(CheckpointError, match=message):
        Trainer(options(run, "other", **change)).resume()


def test_a_resumed_run_does_without_its_clone_but_takes_no_other(run: Path, tmp_path: Path) -> None:
    shutil.copytree(run / "bc", tmp_path / "bc")
    Trainer(options(tmp_path, "moved"))._save("last.pt")
    (tmp_path / "bc").rename(tmp_path / "there")
    again = Trainer(options(tmp_path, "moved", resume=True))
    again.resume()
    assert again.payload()["clone"] == str(tmp_path / "bc" / "best.pt")
    moved = tmp_path / "there" / "best.pt"
    again = Trainer(options(tmp_path, "moved", resume=True, clone=moved))
    again.resume()
    assert again.payload()["clone"] == str(moved)
    save(moved, "policy", policy_payload(tiny_policy(77)))
    other = Trainer(options(tmp_path, "moved", resume=True, clone=moved))
    with pytest.raises(CheckpointError, match=r"there/best.pt: got a clone with SHA-256 .*, which the run in .*moved"):
        other.resume()


@pytest.mark.parametrize("error", [RewardError("nan"), WorkersLost("gone"), RanksLost("gone")])
def test_what_was_learnt_is_kept_when_playing_fails(
    run: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    made = Trainer(options(run, f"fails_{type(error).__name__}", save_every_s=1e9))
    made._learn([episode(3, n) for n in range(4)])
    assert not made.last.exists()

    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(made, "_play", fail)
    with pytest.raises(type(error)):
        made.run()
    assert load(made.last, "policy")["update"] == 1


def test_a_run_of_another_size_goes_on_with_its_own(run: Path, tmp_path: Path) -> None:
    """The policy comes from last.pt; the size of what --clone names by default does not matter."""
    Trainer(options(run, "size"))._save("last.pt")
    shutil.copytree(run / "size", tmp_path / "size")
    (tmp_path / "bc").mkdir()
    save(tmp_path / "bc" / "best.pt", "policy", policy_payload(new_policy(replace(TINY, width=2 * TINY.width))))
    again = Trainer(options(tmp_path, "size", resume=True))
    again.resume()
    assert again.config == TINY


def test_the_verb_trains_evaluates_and_keeps_the_best(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [
        *("--run", str(run), "--name", "verb", "--steps", "10", "--episodes", "3", "--warmup", "0", "--workers", "1"),
        *("--shares", "1", "--context", "16", "--play.max-steps", "5", "--play.slots", "3", "--threads", "1"),
        *("--evaluate-every", "1000", "--evaluate-episodes", "1", "--evaluate-steps", "8", "--no-bf16"),
    ]
    assert main(words) == 0
    said = capsys.readouterr()
    assert "validation at 0 steps: greedy 0.0%, sample 0.0%" in said.err
    assert "success_window 0, " in said.err
    assert "best validation success 0.0% (best.pt)" in said.out
    best = load(run / "verb" / "best.pt", "policy")
    assert best["algorithm"] == "PPO (FLaRe)"
    assert best["best"] == 0.0
    assert policy_from(best, run).config == TINY
    assert list((run / "verb" / "tensorboard").iterdir())
    assert not (run / "verb" / "candidate.pt").exists()
    assert load(run / "verb" / "last.pt", "policy")["steps"] >= 10


@pytest.mark.parametrize("asked", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_or_sigterm_saves_and_the_run_goes_on(run: Path, tmp_path: Path, asked: signal.Signals) -> None:
    shutil.copytree(run / "bc", tmp_path / "bc")
    words = ["train", "ppo", "--run", str(tmp_path), "--evaluate-every", "0", "--workers", "1", "--shares", "1"]
    words += ["--episodes", "3", "--play.max-steps", "5", "--context", "16", "--save-every-s", "1e9", "--threads", "1"]
    process = start_ferry(*words)
    try:
        assert process.stderr is not None
        while "update 2, " not in (line := process.stderr.readline()):
            assert line, "it ended by itself"
        assert not (tmp_path / "ppo" / "last.pt").exists()
        process.send_signal(asked)
        _, rest = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130
    assert "ferry train: interrupted" in rest
    saved = load(tmp_path / "ppo" / "last.pt", "policy")
    assert saved["update"] >= 2
