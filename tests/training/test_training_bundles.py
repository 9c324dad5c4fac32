"""A bundle as a start: its weights are back in the network that it was exported from, or it is refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import ppo_runs
import pytest
import torch
from bundles import write_tiny_bundle
from checkpoints import same
from onnx import numpy_helper
from pool_here import without_processes
from small_policies import TINY, tiny_policy, write_run

from policy_server.bundle import PolicyBundle
from policy_server.manifest import PolicyManifest, sha256_of, write_bundle
from policy_server.manifest_parts import Provenance
from training.bundles.parity import compare
from training.bundles.start import is_bundle, load_policy, start_sha256
from training.closed_loop.evaluate import EvaluateOptions, Evaluator, check, results_folder
from training.data.recording import Recording, random_recording, record_episode
from training.data.shards import load_shards, shard_files
from training.errors import CheckpointError, DataError
from training.export.bundle import export
from training.exports import main as ferry_export
from training.imitation.bc import BcOptions, Trainer
from training.imitation.dagger import DaggerCollector, DaggerOptions
from training.imitation.dagger import main as dagger
from training.models.config import MINI, PRESETS
from training.models.spoc import SpocPolicy
from training.rl.options import RolloutOptions
from training.rl.ppo import PpoTrainer
from training.rl.rollout_buffer import RolloutBuffer
from training.runtime.checkpoint import load, policy_from

POLICIES = Path(__file__).parents[2] / "policies"
CLONED, LOCOBOT = POLICIES / "objectnav_stretch_mini_cloned", POLICIES / "objectnav_locobot_mini"
SHIPPED = [CLONED, POLICIES / "objectnav_stretch_mini", LOCOBOT]
PLAY = RolloutOptions(max_steps=6, slots=2, body="locobot")


def read(folder: Path) -> SpocPolicy:
    return policy_from(load_policy(folder), folder)


# Every weight is back


@pytest.fixture(scope="module")
def recording() -> Recording:
    return record_episode(MINI.spec(), MINI.tokens, steps=12)


@pytest.mark.parametrize("folder", SHIPPED, ids=lambda folder: folder.name)
def test_the_network_answers_along_an_episode_as_its_bundle_does(folder: Path, recording: Recording) -> None:
    """Logits, keys and values: measured at most 4e-5; logits are up to 20 in size."""
    worst = compare(read(folder), PolicyBundle.load(folder, threads=1), recording)
    assert set(worst) == {"text_features", "logits", "present_keys", "present_values"}
    assert max(worst.values()) < 2e-4


@pytest.fixture
def tiny_is_a_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PRESETS, "tiny", TINY)  # type: ignore[arg-type]  # a dict


@pytest.fixture(scope="module")
def trained() -> SpocPolicy:
    """A tiny policy, every number of which was changed by some training."""
    policy, generator = tiny_policy(3), torch.Generator().manual_seed(3)
    with torch.no_grad():
        for name, value in policy.state_dict().items():
            if value.is_floating_point():
                value += 0.1 * torch.rand(value.shape, generator=generator)  # variances stay positive
            else:
                assert name.endswith("num_batches_tracked")
    return policy


@pytest.fixture(scope="module")
def tiny(trained: SpocPolicy, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bundles") / "tiny"
    noise = random_recording(TINY.spec(), "find a mug", steps=2)
    export(trained, folder, noise, Provenance("c0ffee", algorithm="behaviour cloning", seed=5, steps=70, looks=2))
    return folder


@pytest.mark.slow
@pytest.mark.usefixtures("tiny_is_a_size")
def test_what_was_exported_comes_back(tiny: Path, trained: SpocPolicy) -> None:
    before, after = trained.state_dict(), read(tiny).state_dict()
    frozen = {name for name in before if name.startswith("image_encoder.")}
    places = {"visual.camera", "visual.position"}
    assert same({name: before[name] for name in before.keys() - frozen - places}, {
        name: after[name] for name in after.keys() - frozen - places
    })  # bit for bit  # fmt: skip
    sums = [weights["visual.camera"][:, None] + weights["visual.position"] for weights in (before, after)]
    assert torch.allclose(*sums, atol=1e-6)
    images = torch.randint(0, 255, (2, 28, 48, 3), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    assert torch.allclose(trained.images(images), read(tiny).images(images), atol=1e-4)


@pytest.mark.slow
@pytest.mark.usefixtures("tiny_is_a_size")
def test_the_manifest_tells_what_a_checkpoint_would(tiny: Path) -> None:
    payload = load_policy(tiny)
    assert (payload["algorithm"], payload["seed"], payload["steps"]) == ("behaviour cloning", 5, 70)
    assert (payload["tasks"], payload["looks"]) == (["object_nav"], 2)
    assert "critic" not in payload


# Or it is refused


Edit = Callable[[onnx.GraphProto], None]


def changed(folder: Path, edit: Edit, source: Path = LOCOBOT) -> Path:
    """A bundle whose policy graph was edited, and whose manifest is right about it."""
    shutil.copytree(source, folder)
    model = onnx.load(folder / "policy.onnx")
    edit(model.graph)
    onnx.save(model, folder / "policy.onnx")
    write_bundle(folder, PolicyManifest.from_json(json.loads((folder / "manifest.json").read_text())))
    return folder


def number(name: str, change: Callable[[np.ndarray], np.ndarray]) -> Edit:
    """Changes an initializer's numbers; it is named, or the only one of a shape."""

    def edit(graph: onnx.GraphProto) -> None:
        (one,) = [one for one in graph.initializer if name in (one.name, str(tuple(one.dims)))]
        one.CopyFrom(numpy_helper.from_array(change(numpy_helper.to_array(one)), one.name))

    return edit


def nan(value: np.ndarray) -> np.ndarray:
    return np.where(np.arange(value.size).reshape(value.shape) == 1, np.float32(np.nan), value)


def one_cell_more(value: np.ndarray) -> np.ndarray:
    return value + (np.arange(value.size).reshape(value.shape) == 5).astype(np.float32)


def no_name(graph: onnx.GraphProto) -> None:
    for one in graph.initializer:
        one.name = "bias" if one.name == "policy.actor.bias" else one.name
    for node in graph.node:
        node.input[:] = ["bias" if name == "policy.actor.bias" else name for name in node.input]


def another_function(graph: onnx.GraphProto) -> None:
    next(node for node in graph.node if node.op_type == "Relu").op_type = "Tanh"


def a_layer_more(graph: onnx.GraphProto) -> None:
    eye = numpy_helper.from_array(np.eye(20, dtype=np.float32), "calibration")
    graph.initializer.append(eye)
    last = next(node for node in graph.node if "logits" in node.output)
    last.output[0] = "before"
    graph.node.append(onnx.helper.make_node("MatMul", ["before", "calibration"], ["logits"]))


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (number("policy.actor.bias", nan), "NaN or infinity in actor.bias"),
        (number("(86, 128)", nan), "NaN or infinity in visual.compressor.0.weight"),
        (number("(2, 24, 128)", one_cell_more), "no sums"),
        (no_name, "missing parameters: actor.bias"),
        (number("policy.actor.weight", lambda value: value[:, :64]), "got"),
        (another_function, "onnx .* got a difference"),
        (a_layer_more, "products with a matrix"),
    ],
    ids=["nan", "nan-transposed", "no-sum", "name", "shape", "function", "layer"],
)
def test_another_graph_is_refused(edit: Edit, message: str, tmp_path: Path) -> None:
    refused(changed(tmp_path / "changed", edit), message)


def refused(path: Path, message: str) -> None:
    """Nothing is read, and one line says of which file and why."""
    with pytest.raises(CheckpointError, match=message) as refusal:
        load_policy(path)
    line = str(refusal.value)
    assert line.startswith(f"{path}: ")
    assert "\n" not in line
    assert line.count(f"{path}: ") == 1


def test_bundles_of_other_kinds_are_refused(tmp_path: Path) -> None:
    refused(POLICIES / "tabletop_piper_mini", "other inputs, actions or memory .*begin from the checkpoint")
    write_tiny_bundle(tmp_path / "by_hand")
    refused(tmp_path / "by_hand", "other inputs, actions or memory")
    refused(CLONED / "policy.onnx", "expected its bundle's folder")
    refused(POLICIES, "expected one of them")
    (tmp_path / "run").mkdir()
    refused(tmp_path / "run", "got a folder, expected a file")


def test_a_damaged_bundle_is_refused(tmp_path: Path) -> None:
    folder = shutil.copytree(CLONED, tmp_path / "cut")
    graph = folder / "policy.onnx"
    graph.write_bytes(graph.read_bytes()[:-100])
    refused(folder, "expected sha256")
    words = shutil.copytree(CLONED, tmp_path / "words")
    tokens = (words / "tokenizer.json").read_text().replace('"mug"', '"jug"')
    (words / "tokenizer.json").write_text(tokens)
    write_bundle(words, PolicyManifest.from_json(json.loads((words / "manifest.json").read_text())))
    refused(words, "'jug' in another row of the table of words")


# What begins from it


def test_a_zip_is_a_bundle_too(tmp_path: Path) -> None:
    packed = Path(shutil.make_archive(str(tmp_path / "cloned"), "zip", CLONED))
    assert same(read(packed).state_dict(), read(CLONED).state_dict())
    assert start_sha256(packed) == start_sha256(CLONED) == sha256_of((CLONED / "manifest.json").read_bytes())


def test_it_is_evaluated_and_its_folder_stays_as_it_is() -> None:
    options = EvaluateOptions(LOCOBOT, 1, max_steps=60, body="locobot", slots=1)
    check(options)
    (played,) = Evaluator(options, "greedy")(range(1), lambda steps: None)
    assert 0 < played["steps"] <= 60
    assert results_folder(LOCOBOT) == Path("runs/objectnav_locobot_mini")
    assert results_folder(Path("runs/mini/bc/best.pt")) == Path("runs/mini/bc")
    assert not is_bundle(Path("runs/mini/bc/best.pt"))


def test_ppos_critic_starts_anew_from_it(tmp_path: Path) -> None:
    trainer = PpoTrainer(ppo_runs.options(tmp_path, clone=LOCOBOT, play=PLAY))
    given, state = load_policy(LOCOBOT)["weights"], trainer.model.state_dict()
    assert same({name: state[f"actor.{name}"] for name in given}, given)
    critic = {name.removeprefix("critic."): value for name, value in state.items() if name.startswith("critic.")}
    assert same(critic, {name: given[name] for name in critic})
    assert state["value.weight"].abs().max() < 0.1  # a new head's
    assert trainer.payload()["clone_sha256"] == sha256_of((LOCOBOT / "manifest.json").read_bytes())
    trainer.clone = str(CLONED)
    with pytest.raises(CheckpointError, match=r"which the run in .* began with"):
        trainer.expect_clone()


@pytest.mark.slow
def test_it_is_fine_tuned_resumed_and_exported_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without_processes(monkeypatch, "training.rl.rollout")
    options = ppo_runs.options(tmp_path, clone=LOCOBOT, play=PLAY, bf16=True, lr=1e-5)
    first, given = PpoTrainer(options), load_policy(LOCOBOT)["weights"]
    before = {name: value.clone() for name, value in first.model.state_dict().items() if name.startswith("critic.")}
    first.run(updates=1)  # of the critic alone
    state = first.model.state_dict()
    assert same({name: state[f"actor.{name}"] for name in given}, given)
    assert not same(before, {name: state[name] for name in before})
    second = PpoTrainer(replace(options, resume=True))
    second.resume()
    worker = second.make_worker()()
    second.update_policy(
        RolloutBuffer.of([trajectory for job in second.jobs() for trajectory in worker(job, lambda steps: None)])
    )
    second.save("last.pt")
    tuned = load(second.last, "policy")["weights"]
    changed = {name for name in given if not torch.equal(given[name], tuned[name])}
    assert "actor.weight" in changed
    assert not any(name.startswith("image_encoder.") for name in changed)
    out = tmp_path / "bundle"
    assert ferry_export(["--checkpoint", str(second.last), "--out", str(out), "--steps", "4"]) == 0
    manifest = PolicyBundle.load(out, threads=1).manifest
    assert max(manifest.parity.values()) < 1e-3
    assert manifest.provenance.algorithm == "PPO (FLaRe), from objectnav_locobot_mini (manifest.json)"
    assert manifest.provenance.source_sha256 == sha256_of((LOCOBOT / "manifest.json").read_bytes())
    assert compare(read(out), PolicyBundle.load(out, threads=1), random_recording(MINI.spec(), "find a mug", steps=2))


@pytest.mark.slow
def test_dagger_and_cloning_go_on_from_it(tmp_path: Path) -> None:
    collecting = DaggerOptions(tmp_path, CLONED, episodes=1, shard=1, max_steps=4, slots=1, workers=1)
    assert dagger(["--run", str(tmp_path), "--checkpoint", str(CLONED), "--episodes", "0"]) == 0  # the folder alone
    DaggerCollector(collecting)(0, lambda steps: None)
    shown = load_shards(shard_files([tmp_path / "dagger"]))
    trainer = Trainer(BcOptions(tmp_path, data=("dagger",), init=CLONED, epochs=1, threads=1), shown, shown)
    trainer.run()
    payload = load(trainer.folder / "last.pt", "policy")
    assert payload["origin"]["release"] == "objectnav_stretch_mini_cloned"
    assert not torch.equal(payload["weights"]["actor.weight"], load_policy(CLONED)["weights"]["actor.weight"])
    other = write_run(tmp_path / "other", shards=1)  # demonstrations of another encoder
    (other / "data" / "data.json").write_text('{"encoder": "another"}')
    with pytest.raises(DataError, match="got features of encoder another"):
        Trainer(BcOptions(other, init=CLONED), shown, shown)
