"""Export: what is written answers as torch does along a real episode, or nothing is written."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from small_policies import TINY, tiny_policy

from policy_server.bundle import PolicyBundle
from policy_server.errors import BundleError
from policy_server.graph_inputs import StepValues
from policy_server.manifest import PolicyManifest
from policy_server.manifest_parts import Provenance, SimulatedResult
from robots.embodiments.stretch_re1 import SPOC_ACTIONS
from simulation.episode import LOOKS
from training.bundles.parity import TOLERANCE, Parity, compare
from training.data.recording import Recording, random_recording, record_episode
from training.errors import ExportError
from training.export.bundle import export, git_commit, main, provenance_of, read_result
from training.models.spoc import SpocPolicy
from training.runtime.checkpoint import policy_payload, save

STEPS = 8
WHERE_FROM = Provenance("c0ffee", "d1" * 32, "none", seed=0, steps=0)


@pytest.fixture(scope="module")
def policy() -> SpocPolicy:
    policy = tiny_policy(2)
    for parameter in policy.parameters():  # an untrained policy answers nearly the same to everything
        if parameter.requires_grad:
            parameter.data += 0.2 * torch.randn_like(parameter)
    return policy.requires_grad_(False)


@pytest.fixture(scope="module")
def recording() -> Recording:
    return record_episode(TINY.spec(), TINY.tokens, steps=STEPS)


@pytest.fixture(scope="module")
def folder(policy: SpocPolicy, recording: Recording, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bundles") / "tiny"
    export(policy, folder, recording, WHERE_FROM)
    return folder


def other_policy(policy: SpocPolicy, size: float) -> SpocPolicy:
    """The same policy with one weight of the decoder changed."""
    other = tiny_policy(2)
    other.load_state_dict(policy.state_dict())
    other.decoder.layers[0].attention.key.weight.data[0] += size  # type: ignore[union-attr, operator, index]
    return other


def test_the_graphs_name_no_source_and_no_path_of_this_machine(folder: Path) -> None:
    for graph in folder.glob("*.onnx"):
        content = graph.read_bytes()
        assert b"stack_trace" not in content
        assert b"site-packages" not in content
        assert str(Path(__file__).parents[2]).encode() not in content


def test_the_recording_is_a_real_episode(recording: Recording) -> None:
    assert len(recording.steps) == STEPS
    assert recording.instruction.split()[0] in ("go", "locate", "find", "search", "navigate")
    assert recording.steps[0].previous_action == TINY.tokens.start
    assert all(0 <= one.previous_action < TINY.tokens.count for one in recording.steps[1:])
    images = [one.images["navigation"] for one in recording.steps]
    assert all(one.shape == (28, 48, 3) and one.std() > 5 for one in images)
    assert any(not np.array_equal(images[0], one) for one in images[1:])


def test_a_bundle_is_these_four_files(folder: Path) -> None:
    assert sorted(os.listdir(folder)) == ["manifest.json", "policy.onnx", "text.onnx", "tokenizer.json"]
    assert not [one for one in folder.parent.iterdir() if one != folder]  # nothing temporary


def test_the_manifest_says_what_the_policy_is(folder: Path) -> None:
    manifest = PolicyManifest.from_json(json.loads((folder / "manifest.json").read_text()))
    assert manifest.name == "tiny"
    assert manifest.spec == TINY.spec()
    roles = [(one.role, one.name) for one in manifest.inputs]
    assert roles == [
        ("image", "navigation"),
        ("image", "manipulation"),
        ("text", "text_features"),
        ("state", "state"),
        ("previous_action", "previous_action"),
        ("step", "step"),
    ]
    assert manifest.previous_action is not None
    assert (manifest.previous_action.start, manifest.previous_action.blocked) == (20, 22)
    assert manifest.tasks == ("object_nav",)
    assert [one.initial_shape for one in manifest.recurrent] == [(1, 1, 2, 0, 16)] * 2
    assert set(manifest.parity) == {"text_features", "logits", "present_keys", "present_values"}
    assert max(manifest.parity.values()) < 1e-4


def test_the_server_can_load_it_and_decides_as_torch_does(
    folder: Path, policy: SpocPolicy, recording: Recording
) -> None:
    bundle = PolicyBundle.load(folder, threads=1)
    bundle.warm_up()
    worst = compare(policy, bundle, recording)
    assert worst["logits"] < 1e-4
    assert worst["present_keys"] < 1e-4


def test_memory_matters_along_the_recording(folder: Path, recording: Recording) -> None:
    bundle = PolicyBundle.load(folder, threads=1)
    features = bundle.encode_text(recording.instruction, 20)
    state = bundle.initial_state()
    for number, one in enumerate(recording.steps):
        values = StepValues(one.images, one.state, features, one.previous_action, number)
        logits, state = bundle.run(values, state)
    assert state["past_keys"].shape == (1, 1, 2, STEPS, 16)
    fresh, _ = bundle.run(values, bundle.initial_state())
    assert np.abs(logits - fresh).max() > TOLERANCE


def test_an_unknown_instruction_is_answered_alike(folder: Path, policy: SpocPolicy) -> None:
    noise = random_recording(TINY.spec(), "fetch my favourite unicorn please", steps=3)
    assert max(compare(policy, PolicyBundle.load(folder, threads=1), noise).values()) < 1e-4


def test_a_policy_that_differs_is_named(folder: Path, policy: SpocPolicy, recording: Recording) -> None:
    bundle = PolicyBundle.load(folder, threads=1)
    with pytest.raises(ExportError, match=r"onnx \w+: got a difference of [\d.e+-]+ to torch, expected at most 0.001"):
        compare(other_policy(policy, 2.0), bundle, recording)


def test_a_graph_that_was_tampered_with_is_refused(
    folder: Path, policy: SpocPolicy, recording: Recording, tmp_path: Path
) -> None:
    tampered = shutil.copytree(folder, tmp_path / "tampered")
    model = onnx.load(tampered / "policy.onnx")
    weight = next(one for one in model.graph.initializer if one.name.endswith("actor.weight") or list(one.dims) == [20])
    weight.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weight) + np.float32(0.5), weight.name))
    onnx.save(model, tampered / "policy.onnx")
    with pytest.raises(BundleError, match=r"policy.onnx: got \d+ bytes with sha256 .*"):
        PolicyBundle.load(tampered)  # the manifest's hash finds it
    honest = PolicyBundle.load(folder, threads=1)
    bundle = replace(honest, policy=_session(tampered / "policy.onnx"))  # and so does comparing
    with pytest.raises(ExportError, match="onnx logits: got a difference of"):
        compare(policy, bundle, recording)


def _session(path: Path) -> object:
    import onnxruntime

    return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])


@pytest.fixture
def written_before(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets the graphs that an export writes be those of `policy`, made before: writing them takes ten seconds."""

    def copy(_: SpocPolicy, made: Path, provenance: Provenance, *more: Any) -> PolicyManifest:
        shutil.copytree(folder, made, dirs_exist_ok=True)
        manifest = PolicyManifest.from_json(json.loads((made / "manifest.json").read_text()))
        return replace(manifest, provenance=provenance)

    monkeypatch.setattr("training.export.bundle.write_files", copy)


@pytest.mark.usefixtures("written_before")
def test_nothing_is_written_when_they_differ(policy: SpocPolicy, recording: Recording, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="got a difference of"):
        export(other_policy(policy, 2.0), tmp_path / "new", recording, WHERE_FROM)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("written_before")
def test_an_old_bundle_survives_a_failed_export(folder: Path, policy: SpocPolicy, recording: Recording) -> None:
    before = {one.name: one.read_bytes() for one in folder.iterdir()}
    with pytest.raises(ExportError, match="expected at most 0"):
        export(policy, folder, recording, WHERE_FROM, tolerance=0.0)
    assert {one.name: one.read_bytes() for one in folder.iterdir()} == before


def test_a_folder_with_something_else_is_left_alone(policy: SpocPolicy, recording: Recording, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(ExportError, match="got a folder with other files"):
        export(policy, tmp_path, recording, WHERE_FROM)
    assert (tmp_path / "thesis.tex").read_text() == "years of work"


def test_there_must_be_steps_to_compare_along(policy: SpocPolicy, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="recording: got 0 steps, expected at least 1"):
        export(policy, tmp_path / "new", Recording("find a mug", ()), WHERE_FROM)


def test_a_difference_that_is_no_number_is_no_parity() -> None:
    parity = Parity()
    parity.add("logits", np.zeros(3, np.float32), np.array([0, np.nan, 0], np.float32))
    with pytest.raises(ExportError, match="got a difference of inf"):
        parity.check(1e9)


def test_another_shape_is_no_parity() -> None:
    parity = Parity()
    parity.add("present_keys", np.zeros((1, 2), np.float32), np.zeros((2, 1), np.float32))
    assert parity.worst == {"present_keys": np.inf}


def test_parity_keeps_the_largest_difference() -> None:
    parity = Parity()
    for difference in (0.1, 0.5, 0.2):
        parity.add("logits", np.zeros(2, np.float32), np.array([0, difference], np.float32))
    assert parity.worst["logits"] == pytest.approx(0.5)
    parity.check(0.51)


def evaluated(result: SimulatedResult, checkpoint: Path, contact: str = "strict") -> dict[str, Any]:
    """Part of a result of `ferry train evaluate`."""
    simulated = {name: value for name, value in asdict(result).items() if name != "max_steps"}
    options = {"contact": contact, "max_steps": result.max_steps, "checkpoint": str(checkpoint)}
    return {"simulated": simulated, "options": options}


def test_success_of_another_policy_is_no_result(tmp_path: Path) -> None:
    path = tmp_path / "test_greedy.json"
    result = SimulatedResult("object_nav", "test", 9, 0.6, 0.5, 0.7, "greedy")
    path.write_text(json.dumps(evaluated(result, tmp_path / "last.pt")))
    with pytest.raises(ExportError, match=r"test_greedy.json: got a result of .*last.pt"):
        read_result(path, tmp_path / "best.pt")
    assert read_result(path, tmp_path / "last.pt")["simulated"]["success"] == 0.6


def test_success_of_a_body_that_slides_is_no_result(tmp_path: Path) -> None:
    path = tmp_path / "val_greedy_slide.json"
    result = SimulatedResult("object_nav", "val", 9, 0.6, 0.5, 0.7, "greedy")
    path.write_text(json.dumps(evaluated(result, tmp_path / "best.pt", "slide")))
    with pytest.raises(ExportError, match=r"slide.json: got contact 'slide'"):
        read_result(path, tmp_path / "best.pt")


@pytest.mark.usefixtures("written_before")
def test_the_verb_exports_a_checkpoint_over_an_old_bundle(
    folder: Path, policy: SpocPolicy, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint = tmp_path / "best.pt"
    trained = {
        "algorithm": "behaviour cloning",
        "seed": 9,
        "steps": 1234,
        "command": f"ferry train bc --run {Path.cwd()}/runs/mini",
    }
    save(checkpoint, "policy", {**policy_payload(policy), **trained})
    result = SimulatedResult("object_nav", "val", 200, 0.6, 0.53, 0.67, "greedy", max_steps=150)
    (tmp_path / "val.json").write_text(json.dumps(evaluated(result, checkpoint)))
    words = ["--checkpoint", str(checkpoint), "--out", str(folder), "--steps", "4"]
    assert main([*words, "--results", str(tmp_path / "val.json")]) == 0
    assert "4 steps compared, largest difference" in capsys.readouterr().out
    provenance = PolicyBundle.load(folder, threads=1).manifest.provenance
    assert (provenance.algorithm, provenance.seed, provenance.steps) == ("behaviour cloning", 9, 1234)
    assert provenance.simulated == (result,)
    assert provenance.command == "ferry train bc --run runs/mini"


def test_provenance_depends_on_how_it_was_trained(policy: SpocPolicy) -> None:
    payload = policy_payload(policy)
    one, other = (provenance_of({**payload, "training": {"lr": lr}}) for lr in (1e-3, 2e-3))
    assert one.config_sha256 != other.config_sha256
    assert one.algorithm == "none"
    assert [provenance_of({**payload, **given}).looks for given in ({}, {"looks": 2})] == [LOOKS[0], 2]


def test_the_commit_is_that_of_the_working_tree() -> None:
    commit = git_commit()
    assert commit == "unknown" or len(commit.rstrip("+")) == 40


def test_every_action_has_a_logit(folder: Path) -> None:
    bundle = PolicyBundle.load(folder, threads=1)
    noise = random_recording(TINY.spec(), "find a mug", steps=1).steps[0]
    features = bundle.encode_text("find a mug", 10)
    logits, _ = bundle.run(StepValues(noise.images, noise.state, features, TINY.tokens.start), bundle.initial_state())
    assert logits.shape == (len(SPOC_ACTIONS.names),)


@pytest.mark.parametrize(
    "text", ["", "{}", '{"simulated": {"success": 1}}', "[1]"], ids=["empty", "bare", "part", "list"]
)
def test_a_damaged_result_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "test_greedy.json"
    path.write_text(text)
    with pytest.raises(ExportError, match=r"test_greedy.json: got .*"):
        read_result(path, tmp_path / "best.pt")
