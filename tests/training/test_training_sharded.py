"""SFT and GRPO of a tiny vision-language model, in parts on two ranks that torchrun starts, and in bfloat16."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from checkpoints import different, same
from pool_here import without_processes
from reach_world import demonstrations
from sharded_ranks import COLOURS, Job, curve, made, write_jobs
from vla_policies import small_policy, tokens_policy, write_policy

from training.errors import ConfigError, RolloutMismatch
from training.runtime.checkpoint import load
from training.runtime.distributed import Ranks
from training.vla.export.onnx_graph import compare_chunks, write_chunk_graph
from training.vla.grpo.agreement import expect_agreement
from training.vla.grpo.loss import token_log_p
from training.vla.policy.checkpoint import KIND, load_policy

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
SUPPORT = Path(__file__).parents[1] / "support"

LOSS, ROUNDED_LOSS = 1e-4, 5e-3
"""Largest differences of a loss [nat] to that of one rank: of sums in another order, in float32 and in bfloat16."""

PARTS: dict[str, Any] = {"sharded": True}
ROUNDED: dict[str, Any] = {"precision": "bf16"}
ADAPTERS: dict[str, Any] = {"lora_rank": 2}
JOBS = (
    Job("sft", "parts", PARTS),
    Job("sft", "copies"),
    Job("sft", "parts_again", PARTS, until=2),
    Job("sft", "parts_adapters", PARTS | ADAPTERS),
    Job("sft", "parts_rounded", PARTS | ROUNDED),
    Job("grpo", "play_parts", PARTS, count=2),
    Job("grpo", "play_parts_again", PARTS, until=1, count=2),
    Job("grpo", "play_parts_rounded", PARTS | ROUNDED | ADAPTERS, count=2),
)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose trainings two ranks have made."""
    folder = tmp_path_factory.mktemp("sharded")
    write_policy(folder, tokens_policy())
    write_jobs(folder, JOBS)
    line = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [*line, str(SUPPORT / "sharded_ranks.py"), str(folder)], cwd=ROOT, timeout=600, check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(SUPPORT)])},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    return folder


@pytest.fixture(autouse=True)
def _pool_here(monkeypatch: pytest.MonkeyPatch) -> None:
    without_processes(monkeypatch, "training.vla.rollout.pool")


def curve_of(run: Path, name: str) -> list[float]:
    """Losses that two ranks had."""
    found: list[float] = json.loads((run / "curves.json").read_text())[name]
    return found


def alone(run: Path, stage: str, name: str, count: int, **changes: Any) -> list[float]:
    """The same training in this process."""
    return curve(run, Job(stage, name, changes, count=count), Ranks())


def test_two_ranks_with_a_part_each_learn_what_one_learns(run: Path) -> None:
    one = alone(run, "sft", "alone", 4)
    assert one[-1] < one[0] - 0.1  # it learns
    for name in ("parts", "copies"):
        assert curve_of(run, name) == pytest.approx(one, abs=LOSS)
    adapters = alone(run, "sft", "adapters", 4, lora_rank=2)
    assert curve_of(run, "parts_adapters") == pytest.approx(adapters, abs=LOSS)


@pytest.mark.parametrize("name", ["parts", "play_parts"])
def test_a_resumed_run_of_parts_is_the_unbroken_one(run: Path, name: str) -> None:
    unbroken, resumed = (load(run / folder / "last.pt", KIND) for folder in (name, f"{name}_again"))
    assert not different(unbroken, resumed)


def test_a_checkpoint_of_parts_is_one_of_one_rank(run: Path) -> None:
    parts, one = load(run / "parts" / "last.pt", KIND), load(run / "copies" / "last.pt", KIND)
    shapes = [{name: value.shape for name, value in some["weights"].items()} for some in (parts, one)]
    assert shapes[0] == shapes[1]
    for number, values in one["optimiser"]["state"].items():
        for name, value in values.items():
            torch.testing.assert_close(parts["optimiser"]["state"][number][name], value, atol=1e-5, rtol=1e-3)
    assert same(load_policy(run / "parts" / "last.pt").state_dict(), parts["weights"])
    resumed = made(run, Job("sft", "parts"), Ranks(), resume=True)
    resumed.resume()
    assert not different(resumed.payload(), {**parts, "kind": None, "schema": None})


def test_grpo_in_parts_learns_what_one_rank_learns(run: Path) -> None:
    alone(run, "grpo", "play_alone", 2)
    start = load(run / "sft" / "last.pt", KIND)["weights"]
    parts, one = load(run / "play_parts" / "last.pt", KIND), load(run / "play_alone" / "last.pt", KIND)
    counted = ("step", "updates", "trajectories", "groups", "evaluations")
    assert [parts[name] for name in counted] == [one[name] for name in counted]
    for weights in ("learner", "weights"):
        way = distance(start, one[weights])
        assert way > 1e-3
        assert distance(parts[weights], one[weights]) < 0.01 * way


def test_bfloat16_learns_by_nearly_the_gradient_of_float32_and_exports(run: Path, tmp_path: Path) -> None:
    rounded = alone(run, "sft", "rounded", 4, precision="bf16")
    assert curve_of(run, "parts_rounded") == pytest.approx(rounded, abs=ROUNDED_LOSS)
    assert rounded[-1] < rounded[0] - 0.1  # it learns
    exact, near = (first_gradient(run, precision) for precision in ("fp32", "bf16"))
    assert exact.dtype == near.dtype == torch.float32
    assert 0 < float((near - exact).norm()) < 0.03 * float(exact.norm())
    seen = demonstrations(1, COLOURS)[0]
    looks = [type("Look", (), {"image": image, "proprio": np.zeros(8, np.float32)})() for image in seen.images[:3]]
    for name in ("parts_rounded", "play_parts_rounded"):
        payload = load(run / name / "last.pt", KIND)
        assert {value.dtype for value in payload["weights"].values()} == {torch.float32}
        policy = load_policy(run / name / "last.pt")
        write_chunk_graph(policy, tmp_path / f"{name}.onnx")
        assert compare_chunks(policy, tmp_path / f"{name}.onnx", seen.instruction, looks)["actions"] == 0


def test_what_acts_in_bfloat16_is_what_is_trained(run: Path) -> None:
    trainer = made(run, Job("grpo", "agree", ROUNDED), Ranks())
    trainer.run(lambda: False, 1)
    assert trainer.step == 1
    with pytest.raises(RolloutMismatch, match="bf16"):
        expect_agreement(torch.zeros(1, 1, 1), torch.ones(1, 1, 1), torch.ones(1, 1, dtype=torch.bool), "bf16")
    policy = tokens_policy()
    image, words = torch.zeros(1, 32, 32, 3, dtype=torch.uint8), policy.words(["reach the red blob"])
    tokens = torch.zeros(1, 2, 7, dtype=torch.int64)
    log_p = []
    for precision in ("fp32", "bf16"):
        policy.precision = precision  # type: ignore[assignment]
        logits = policy(image, words, torch.zeros(1, 0))
        assert logits.dtype == torch.float32
        log_p.append(token_log_p(logits, tokens, 1.0)[0])
    assert 0 < (log_p[0] - log_p[1]).abs().max() < 0.2


def test_what_a_policy_or_a_single_rank_cannot_have_is_refused(run: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="sharded: got 1 rank"):
        made(run, Job("grpo", "one", PARTS), Ranks())
    small = write_policy(tmp_path, small_policy(chunk=2))
    for changes, what in ((PARTS, "sharded"), (ROUNDED, "precision")):
        with pytest.raises(ConfigError, match=f"{what}: got"):
            made(run, Job("sft", "mini", {**changes, "start": small}), Ranks())


def first_gradient(run: Path, precision: str) -> torch.Tensor:
    """Of the first update of SFT, of all weights."""
    made_here = made(run, Job("sft", "gradient", {"precision": precision, "max_grad_norm": 1e9}), Ranks())
    made_here.run(lambda: False, 1)
    gradients = [parameter.grad.flatten() for parameter in made_here.policy.parameters() if parameter.grad is not None]
    return torch.cat(gradients)


def distance(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> float:
    """Between two sets of weights."""
    return float(torch.stack([(one[name] - value).norm() for name, value in other.items()]).norm())
