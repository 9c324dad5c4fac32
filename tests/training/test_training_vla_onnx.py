"""The policy's ONNX graph gives torch's tokens and the tokenizer's actions, and a graph that does not is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from reach_world import ReachTasks, Seen
from vla_policies import small_policy

from training.errors import ExportError
from training.vla.export.onnx_graph import compare_chunks, write_chunk_graph
from training.vla.policy.action_tokenizer import Statistics
from training.vla.policy.model import VlaPolicy

SCALES = Statistics((-1.2, -1.2, *[0.0] * 6), (1.2, 1.2, *[0.0] * 6), (True,) * 8)
UNEVEN = Statistics((-0.4, -1.0, 0.0, 0.0, 0.0, 0.0, -1.0), (0.9, 1.0, 0.0, 0.1, 0.0, 0.0, 1.0), (*[True] * 6, False))


def observations(count: int = 5) -> list[Seen]:
    tasks, seen = ReachTasks(("red", "blue")), []
    for number in range(count):
        world = tasks.world(0)
        world.reset(tasks.state(0, np.random.default_rng(number), held_out=False))
        world.step(np.full(7, 0.1 * number))
        seen.append(world.observe())
    return seen


@pytest.fixture(scope="module")
def sighted() -> VlaPolicy:
    return small_policy(proprio=SCALES, actions=UNEVEN)


@pytest.fixture(scope="module")
def graph(sighted: VlaPolicy, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("graph") / "policy.onnx"
    write_chunk_graph(sighted, path)
    return path


@pytest.mark.parametrize("instruction", ["reach the red blob", "reach", "please reach the big blue blob over there"])
def test_the_graph_answers_as_torch_for_any_instruction(sighted: VlaPolicy, graph: Path, instruction: str) -> None:
    worst = compare_chunks(sighted, graph, instruction, observations())
    assert worst["logits"] < 1e-4
    assert worst["actions"] == 0.0


def test_a_policy_without_proprioception_has_no_such_input(tmp_path: Path) -> None:
    policy = small_policy()
    write_chunk_graph(policy, tmp_path / "policy.onnx")
    compare_chunks(policy, tmp_path / "policy.onnx", "reach the red blob", observations())
    import onnx

    assert [one.name for one in onnx.load(tmp_path / "policy.onnx").graph.input] == ["image", "words"]


def test_a_graph_of_other_weights_is_refused(sighted: VlaPolicy, graph: Path) -> None:
    other = small_policy(1, proprio=SCALES, actions=UNEVEN)
    with pytest.raises(ExportError, match="onnx logits: got a difference"):
        compare_chunks(other, graph, "reach the red blob", observations())
    other.load_state_dict(sighted.state_dict())
    with torch.no_grad():
        other.network.position[-1, 0] += 50.0  # type: ignore[union-attr, operator, index]
    with pytest.raises(ExportError, match="onnx tokens of observation 1: got others than torch's"):
        compare_chunks(other, graph, "reach the red blob", observations(), tolerance=1e9)


def test_actions_of_other_scales_are_refused(sighted: VlaPolicy, graph: Path) -> None:
    other = small_policy(proprio=SCALES)
    other.load_state_dict(sighted.state_dict())
    with pytest.raises(ExportError, match="onnx actions: got a difference"):
        compare_chunks(other, graph, "reach the red blob", observations())


def test_nothing_to_compare_with_is_an_error(sighted: VlaPolicy, graph: Path) -> None:
    with pytest.raises(ExportError, match="got none, expected at least one"):
        compare_chunks(sighted, graph, "reach", [])
