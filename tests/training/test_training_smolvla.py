"""SmolVLA of LeRobot: the answers of its own policy, by torch, by the bundle and through a server.

goldens/lerobot_smolvla.json was made by lerobot 0.4.4 and 0.3.2 (scripts/lerobot_smolvla_golden.py).
"""

from __future__ import annotations

import json
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import lerobot_recipe as recipe
import numpy as np
import pytest

if any(find_spec(name) is None for name in ("torch", "transformers", "onnx")):
    pytest.skip("needs the extra `train`", allow_module_level=True)

import torch
from lerobot_contract import BODY, TO_SI, contract
from safetensors.torch import load_file, save_file
from servers import serving

from policy_server.bundle import PolicyBundle
from policy_server.policies import open_policy
from robots.observation import Observation
from robots.spec import ContinuousActions
from training.errors import CheckpointError
from training.imports import main as import_main
from training.lerobot.checkpoint import EMBEDDING, HEAD, read_released
from training.lerobot.contract import read_contract
from training.lerobot.smolvla_config import Positions
from training.lerobot.smolvla_graph import letterboxed
from training.lerobot.steps import step_of

pytestmark = pytest.mark.slow

CLOSE = 5e-6
CASES: list[tuple[str, Positions, float]] = [
    ("smolvla", "shifted", CLOSE),
    ("smolvla_few", "shifted", CLOSE),
    ("smolvla_bf16", "shifted", CLOSE),
    ("smolvla_0_3", "exact", 5e-4),  # 0.3.2 sums up its times in float32, and the shortest wave turns 250 times
]


@pytest.fixture(scope="module")
def golden() -> dict[str, Any]:
    """All cases by name, each with its files."""
    cases = json.loads(recipe.GOLDEN.with_name("lerobot_smolvla.json").read_text())
    return {name: {**cases.get(case.get("of"), {}), **case} for name, case in cases.items()}


def write(case: dict[str, Any], folder: Path, **changes: Any) -> tuple[Path, Path]:
    """Writes checkpoint and backbone."""
    changed = {**case, "config": {**case["config"], **changes}}
    checkpoint, backbone = recipe.write(changed, folder / "checkpoint"), folder / "backbone"
    backbone.mkdir()
    for name, content in case["backbone"].items():
        (backbone / name).write_text(json.dumps(content))
    if case.get("of"):
        weights = load_file(checkpoint / "model.safetensors")
        save_file({name: value.bfloat16() for name, value in weights.items()}, checkpoint / "model.safetensors")
    return checkpoint, backbone


def cameras_of(case: dict[str, Any]) -> tuple[str, ...]:
    return tuple(key.rpartition(".")[2] for key in recipe.images(case, 0) if "empty_camera" not in key)


def given(case: dict[str, Any], number: int) -> dict[str, np.ndarray]:
    """An observation as the graph takes it."""
    images = recipe.images(case, number)
    config = case["config"]
    return {
        **{name: images[f"observation.images.{name}"][None] for name in cameras_of(case)},
        "state": (recipe.state(case, number) * TO_SI)[None],
        "tokens": np.array([case["ids"][number]], np.int64),
        "noise": recipe.noise(number, (1, config["chunk_size"], config["max_action_dim"])),
    }


@pytest.mark.parametrize(("name", "positions", "close"), CASES)
def test_torch_answers_as_lerobot(golden: Any, name: str, positions: Positions, close: float, tmp_path: Path) -> None:
    case = golden[name]
    checkpoint, backbone = write(case, tmp_path)
    released = read_released(checkpoint)
    step = step_of(released, read_contract(contract(tmp_path, cameras_of(case))), backbone, positions)
    for number, wanted in enumerate(case["actions"]):
        tensors = [torch.from_numpy(one) for one in given(case, number).values()]
        with torch.inference_mode():
            answer = step(*step.arguments(tensors))
        assert np.abs(answer[0].numpy() / TO_SI - np.array(wanted)).max() < close
    tied = HEAD in case["tensors"]["model.safetensors"] and EMBEDDING not in case["tensors"]["model.safetensors"]
    assert any(line.startswith(HEAD) for line in released.left_out) != tied


@pytest.fixture(scope="module")
def imported(golden: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle of the richest case: two cameras, an empty one, tokens around images, shared words."""
    folder, case = tmp_path_factory.mktemp("smolvla"), golden["smolvla"]
    checkpoint, backbone = write(case, folder)
    terms = contract(folder, cameras_of(case), tasks=[recipe.TASKS[0]], joins=True, prefix=True)
    words = ["lerobot", str(checkpoint), "--contract", str(terms), "--out", str(folder / "bundle"), "--threads", "1"]
    assert import_main([*words, "--vlm", str(backbone), "--positions", "shifted"]) == 0
    return folder / "bundle"


def test_the_bundle_answers_as_lerobot_to_instructions_of_any_length(golden: Any, imported: Path) -> None:
    case, bundle = golden["smolvla"], PolicyBundle.load(imported, threads=1)
    bundle.warm_up()  # replays its probes
    actions = bundle.manifest.spec.actions
    assert isinstance(actions, ContinuousActions)
    assert (actions.horizon, actions.execute_rows, bundle.manifest.tasks) == (6, 4, (recipe.TASKS[0],))
    for number, wanted in enumerate(case["actions"]):
        ids = bundle.encode_text(recipe.TASKS[number], 64)
        assert ids is not None
        assert ids[0].tolist() == case["ids"][number]
        nothing = {"prefix": np.zeros((1, 6, 7), np.float32), "prefix_length": np.zeros(1, np.int64)}
        (answer,) = bundle.policy.run(bundle.outputs, {**given(case, number), **nothing})
        assert np.abs(answer[0] / TO_SI - np.array(wanted)).max() < 1e-4
    assert str(Path(__file__).parents[2]).encode() not in (imported / "policy.onnx").read_bytes()


def test_a_served_one_draws_its_noise_from_the_sessions_seed(golden: Any, imported: Path) -> None:
    case = golden["smolvla"]
    images = {name: given(case, 0)[name][0] for name in cameras_of(case)}
    state = {"joints": given(case, 0)["state"][0], "tip": np.zeros(len(BODY.state["tip"]), np.float32)}
    observed = Observation(stamp_ns=1, images=images, state=state)

    def chunks(address: str, seed: int) -> list[Any]:
        with open_policy(address) as policy, policy.open(BODY, recipe.TASKS[0], seed=seed) as session:
            return [session.act(replace(observed, stamp_ns=1 + number)).chunk for number in range(2)]

    with serving(imported) as url:
        one, other, here = chunks(url, 7), chunks(url, 8), chunks(str(imported), 7)
    np.testing.assert_allclose(one, here, atol=1e-6)
    assert np.abs(one[0] - other[0]).max() > 1e-3
    assert np.abs(one[0] - one[1]).max() > 1e-3


def test_frozen_rows_come_back_and_the_others_are_drawn_to_them(golden: Any, imported: Path) -> None:
    case, bundle = golden["smolvla"], PolicyBundle.load(imported, threads=1)
    prefix = np.zeros((1, 6, 7), np.float32)
    prefix[0, :2] = np.array(case["actions"][1][1:3]) * TO_SI
    answers = []
    for count in (0, 2):
        feed = {**given(case, 0), "prefix": prefix, "prefix_length": np.array([count], np.int64)}
        answers.append(bundle.policy.run(bundle.outputs, feed)[0][0] / TO_SI)
    free, prefixed = answers
    assert np.abs(prefixed[:2] - prefix[0, :2] / TO_SI).max() < 1e-5
    assert np.abs(prefixed[2:] - free[2:]).max() > 0.01
    assert np.abs(free - np.array(case["actions"][0])).max() < 1e-4, "a length of 0 freezes nothing"


REFUSED = [
    ({"adapt_to_pi_aloha": True}, "adapt_to_pi_aloha"),
    ({"use_delta_joint_actions_aloha": True}, "use_delta_joint_actions_aloha"),
    ({"use_cache": False}, "use_cache"),
    ({"n_action_steps": 7}, "n_action_steps"),
    ({"max_state_dim": 6}, "observation.state"),
    ({"max_action_dim": 6}, "action"),
    ({"resize_imgs_with_padding": [64, 64]}, "backbone's images"),
    ({"resize_imgs_with_padding": [32, 64]}, "a square"),
    ({"resize_imgs_with_padding": None}, "a square"),
    ({"num_vlm_layers": 6}, "num_vlm_layers"),
    ({"num_vlm_layers": 1}, "unknown parameters"),
    ({"num_expert_layers": 2, "num_vlm_layers": 4}, "num_expert_layers"),
    ({"attention_mode": "self_attn"}, "other shapes"),
    ({"expert_width_multiplier": 0.5}, "other shapes"),
    ({"vision_backbone": "resnet18"}, "vision_backbone"),
    ({"use_peft": True}, "use_peft"),
]


@pytest.fixture(scope="module")
def files(golden: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Checkpoint and backbone, which are only read."""
    return write(golden["smolvla"], tmp_path_factory.mktemp("files"))


def beside(folder: Path, made: Path, name: str, content: Any) -> Path:
    """Makes a folder with links to the files of another, and one file replaced; None leaves it away."""
    made.mkdir()
    for file in folder.iterdir():
        if file.name != name:
            (made / file.name).symlink_to(file)
    if content is not None:
        (made / name).write_text(json.dumps(content))
    return made


@pytest.mark.parametrize(("changes", "named"), REFUSED)
def test_an_entry_that_cannot_be_honoured_is_refused_by_its_name(
    changes: dict[str, Any], named: str, golden: Any, files: tuple[Path, Path], tmp_path: Path
) -> None:
    config = {**golden["smolvla"]["config"], **changes}
    checkpoint = beside(files[0], tmp_path / "checkpoint", "config.json", config)
    with pytest.raises(CheckpointError, match=named):
        step_of(read_released(checkpoint), read_contract(contract(tmp_path)), files[1])


def test_a_backbone_that_is_missing_or_another_says_what_to_do(
    golden: Any, files: tuple[Path, Path], tmp_path: Path
) -> None:
    released, terms = read_released(files[0]), read_contract(contract(tmp_path))
    with pytest.raises(CheckpointError, match=r"--vlm FOLDER with config\.json and tokenizer\.json of backbone"):
        step_of(released, terms)
    own = golden["smolvla"]["backbone"]
    for number, (name, content, named) in enumerate(
        [
            ("tokenizer.json", None, "tokenizer.json"),
            ("tokenizer.json", {"model": 1}, "tokenizers file"),
            ("config.json", golden["smolvla"]["config"], "model_type"),
            ("config.json", {**own["config.json"], "text_config": {"model_type": "qwen2"}}, "llama"),
            ("config.json", {**own["config.json"], "vision_config": {"hidden_size": "wide"}}, "config"),
        ]
    ):
        with pytest.raises(CheckpointError, match=named):
            step_of(released, terms, beside(files[1], tmp_path / str(number), name, content))


def test_the_datasets_own_image_size_may_be_said(files: tuple[Path, Path], tmp_path: Path) -> None:
    """A checkpoint that was fine-tuned from a base keeps the base's sizes, but its network letterboxes any."""
    released = read_released(files[0])
    cameras = [
        {"name": one, "key": f"observation.images.{one}", "vertical_fov_deg": 42.0, "height": 30, "width": 50}
        for one in ("scene", "wrist")
    ]
    terms = read_contract(contract(tmp_path, cameras=cameras))
    assert {(one.height, one.width) for one in terms.spec(released.config).cameras} == {(30, 50)}
    seen = letterboxed(torch.ones(1, 3, 30, 50), (32, 32))[0, 0]
    assert seen.shape == (32, 32)
    assert (seen[:13] == -1).all()
    assert (seen[13:] == 1).all()
