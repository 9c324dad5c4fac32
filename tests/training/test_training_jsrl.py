"""JSRL: the guide's steps decrease while success holds; its actions are inputs but not trained on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from checkpoints import different
from pool_here import without_processes
from small_policies import TINY, tiny_policy
from variants import PLAY, SMALL, episode, write_clone

from robots.embodiments.stretch_re1 import SPOC_ACTIONS
from training.data.packing import Instructions, collate
from training.errors import CheckpointError
from training.imitation.loss import batch_logits
from training.models.spoc import SpocPolicy
from training.models.tokenizer import tokenizer_for
from training.rl.actor_critic import frozen_weights, trained_weights
from training.rl.jsrl import Curriculum, GuidedRollout, GuidedRolloutWorker, JsrlOptions, JsrlTrainer, JumpStart
from training.rl.reward import RewardOptions
from training.rl.rollout import RolloutJob
from training.rl.rollout_buffer import RolloutBuffer
from training.rl.trajectory import Trajectory, joined
from training.runtime.checkpoint import load
from training.runtime.weights import arrays

JUMP = JumpStart(steps=4, stages=2, window=4)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clone(tmp_path_factory.mktemp("jsrl"))


def options(run: Path, name: str = "jsrl", **changes: Any) -> JsrlOptions:
    return replace(
        JsrlOptions(run=run, name=name, jump=JUMP, epochs=2, minibatches=2, **{**SMALL, "warmup": 0}), **changes
    )


# The curriculum


def test_the_guides_share_falls_by_equal_parts() -> None:
    jump = JumpStart(steps=100, stages=10)
    assert [jump.guide_steps(stage) for stage in range(11)] == [100, 90, 80, 70, 60, 50, 40, 30, 20, 10, 0]
    assert jump.guide_steps(12) == 0


def test_it_falls_as_long_as_success_stays_near_the_best() -> None:
    now = Curriculum(JumpStart(steps=90, stages=3, window=10, tolerance=0.25))
    now.record([True] * 9)
    assert (now.stage, now.guide_steps) == (0, 90)  # too few to tell
    now.record([False])
    assert (now.stage, now.best, now.recent) == (1, 0.9, [])
    now.record([True] * 6 + [False] * 4)
    assert now.stage == 1  # 0.6 is less than 0.75 x 0.9
    now.record([True] * 2)
    assert now.stage == 1  # 6 of the last 10
    now.record([True] * 6)
    assert (now.stage, now.best, now.guide_steps) == (2, 0.9, 30)  # 8 of the last 10
    now.record([True] * 10)
    assert (now.stage, now.best, now.guide_steps) == (3, 1.0, 0)
    now.record([True] * 50)
    assert now.stage == 3  # there is no further one


# Playing


def only(action: str) -> SpocPolicy:
    """A policy that hardly does anything else."""
    made = tiny_policy(1)
    with torch.no_grad():
        made.actor.bias[SPOC_ACTIONS.index(action)] += 50.0
    return made


def played(guide: SpocPolicy, learner: SpocPolicy, steps: int, count: int = 3) -> list[Trajectory]:
    encoder = arrays(frozen_weights(learner))
    player = GuidedRolloutWorker(TINY, encoder, PLAY, RewardOptions(), arrays(trained_weights(guide)))
    return player(RolloutJob((3,), count, arrays(trained_weights(learner)), steps), lambda steps: None)


def test_the_guide_acts_first_and_the_learner_after_it() -> None:
    left, right = (SPOC_ACTIONS.index(f"rotate_{side}") for side in ("left", "right"))
    learner = only("rotate_right")
    for one in played(only("rotate_left"), learner, 4):
        assert one.actions.tolist() == [left] * 4 + [right] * 2
        assert one.guided == 4
        assert not one.said_done
    for one in played(only("rotate_left"), learner, 0, count=1):
        assert one.actions.tolist() == [right] * 6
        assert one.guided == 0
    for one in played(only("done"), learner, 4, count=1):  # the guide may end it
        assert one.said_done
        assert len(one) == one.guided == 1


def test_the_guide_says_what_its_network_says_of_the_whole_episode(monkeypatch: pytest.MonkeyPatch) -> None:
    guide, heard = tiny_policy(7), list[np.ndarray]()
    ask = GuidedRollout._ask

    def listening(self: GuidedRollout, *given: Any) -> dict[int, Any]:
        advice = ask(self, *given)
        heard.extend(advice.values())
        return advice

    monkeypatch.setattr(GuidedRollout, "_ask", listening)
    played(guide, tiny_policy(8), 6, count=1)  # another seed's episode was in this slot before
    (one,) = played(guide, tiny_policy(8), 6, count=1)
    block = joined([one])
    words = Instructions(block, tokenizer_for(TINY.text))
    batch = collate(block, words, [[0]], 16)
    with torch.no_grad():
        logits = batch_logits(guide, batch, words)[0, : len(one)]
    assert one.guided == len(one) > 2
    assert np.allclose(np.stack(heard[-len(one) :]), logits.numpy(), atol=1e-2)


# Learning


def test_the_guides_steps_are_not_learnt_from(run: Path) -> None:
    some = [episode(5, 1, guided=3), episode(4, 2, done=False, guided=4), episode(4, 3, guided=0)]
    made = JsrlTrainer(options(run))
    acted = made.compute_advantages([some[0], some[2]]).acted
    assert acted.tolist() == [False] * 3 + [True] * 6
    figures = made.update_policy(RolloutBuffer.of(some))
    assert np.isfinite(list(figures.values())).all()
    assert figures["guide_steps"] == 4.0
    assert made.steps == 13  # the budget counts them all
    assert len(made.window) == 3


def test_another_action_of_the_guide_changes_nothing(run: Path) -> None:
    one = episode(5, 1, guided=3)
    actions = one.actions.copy()
    actions[:3] = 19
    other = replace(one, actions=actions)
    states = []
    for played_one in (one, other):
        made = JsrlTrainer(options(run))
        made.update_policy(RolloutBuffer.of([played_one]))
        states.append(made.model.state_dict())
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())


def test_an_update_that_the_guide_did_alone_teaches_nothing(run: Path) -> None:
    made = JsrlTrainer(options(run))
    before = {name: one.clone() for name, one in made.model.state_dict().items()}
    assert set(made.update_policy(RolloutBuffer.of([episode(3, 1, guided=3)]))) == {"guide_steps", "stage"}
    assert (made.update, made.steps) == (1, 3)
    assert all(torch.equal(one, before[name]) for name, one in made.model.state_dict().items())


def test_a_resumed_run_equals_an_unbroken_one(run: Path) -> None:
    def learnt(name: str, first: int, last: int) -> JsrlTrainer:
        made = JsrlTrainer(options(run, name))
        if first:
            made.resume()
        for seed in range(first, last):
            made.update_policy(
                RolloutBuffer.of([episode(5, seed, guided=2), episode(3, seed + 10, guided=3), episode(2, seed + 20)])
            )
        made.save("last.pt")
        return made

    learnt("unbroken", 0, 4)
    learnt("broken", 0, 3)
    made = learnt("broken", 3, 4)
    saved = [load(run / name / "last.pt", "policy") for name in ("unbroken", "broken")]
    assert different(*saved) == []
    assert saved[0]["algorithm"] == "JSRL"
    assert saved[0]["jsrl"]["stage"] == 2
    assert [job.guide_steps for job in made.jobs()] == [0, 0]


def test_a_run_with_real_simulators(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without_processes(monkeypatch, "training.rl.rollout")
    made = JsrlTrainer(options(run, "real", episodes=2, jobs=1))
    made.run(updates=1)
    saved = load(run / "real" / "last.pt", "policy")
    clone = load(run / "bc" / "best.pt", "policy")["weights"]
    assert saved["steps"] == made.steps > 0
    assert len(saved["jsrl"]["recent"]) == 2
    assert not torch.equal(saved["weights"]["actor.weight"], clone["actor.weight"])  # from scratch


def test_the_guide_is_the_clone_that_the_run_began_with(tmp_path: Path) -> None:
    run = write_clone(tmp_path)
    JsrlTrainer(options(run)).save("last.pt")
    clone = run / "bc" / "best.pt"
    clone.write_bytes(clone.read_bytes() + b" ")
    made = JsrlTrainer(options(run, resume=True))
    made.resume()
    with pytest.raises(CheckpointError, match=r"best.pt: got a clone with SHA-256 .*, which the run in .* began with"):
        made.run(updates=1)
    clone.unlink()
    with pytest.raises(CheckpointError, match=r"best.pt: got 'No such file or directory'"):
        made.run(updates=1)
