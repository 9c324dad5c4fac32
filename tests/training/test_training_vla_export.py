"""`ferry export` of a vision-language-action policy: a bundle that gives its actions as rows, or none at all."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from reach_world import demonstrations
from vla_policies import small_policy

from policy_server.bundle import PolicyBundle
from policy_server.errors import PolicyError
from policy_server.onnx_policy import OnnxPolicy
from robots.embodiments.panda import CAMERA, HAND, panda
from robots.embodiments.piper import PIPER
from robots.errors import BindError
from robots.observation import Observation
from simulation.libero.chunk_rows import action_of
from training.errors import CheckpointError, ExportError
from training.exports import main
from training.runtime.checkpoint import save
from training.vla.export.bundle import tokenizer_of
from training.vla.policy.action_tokenizer import Statistics
from training.vla.policy.checkpoint import KIND, policy_payload
from training.vla.policy.model import VlaPolicy

ACTIONS = Statistics((-0.4, -1.0, 0.0, -1.0, 0.0, 0.0, -1.0), (0.9, 1.0, 0.0, 0.1, 0.0, 0.0, 1.0), (*[True] * 6, False))
SCALES = Statistics((-1.2,) * 8, (1.2,) * 8, (True,) * 8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two demonstrations, and checkpoints of two policies: one that feels the hand, one that does not."""
    path: Path = tmp_path_factory.mktemp("vla")
    for number, one in enumerate(demonstrations(2, ("red", "blue"))):
        one.save(path / "demonstrations" / f"{number}.npz")
    trained = {
        "algorithm": "GRPO (SimpleVLA-RL)",
        "training": {"rows": 3},
        "updates": 41,
        "command": "ferry train grpo",
    }
    save(path / "feels.pt", KIND, {**policy_payload(policy(proprio=SCALES)), **trained})
    save(path / "sees.pt", KIND, policy_payload(policy()))
    return path


def policy(**changes: object) -> VlaPolicy:
    return small_policy(3, actions=ACTIONS, **changes)


def export(folder: Path, name: str, *more: str) -> Path:
    out = folder / name.partition(".")[0]
    arguments = ("--checkpoint", str(folder / name), "--out", str(out), "--demonstrations", str(folder))
    assert main([*arguments, "--observations", "6", *more]) == 0
    return out


@pytest.fixture(scope="module")
def bundle(folder: Path) -> PolicyBundle:
    return PolicyBundle.load(export(folder, "feels.pt"), threads=1)


def observation() -> Observation:
    image = np.random.default_rng(1).integers(0, 256, (32, 32, 3), np.uint8)
    hand = np.linspace(-0.04, 0.04, 8, dtype=np.float32)
    return Observation(5, {CAMERA: image}, {"joints": np.zeros(8, np.float32), "hand": hand})


@pytest.mark.parametrize("instruction", ["reach the red blob", "  Reach a\tBIG [unk] blob "])
def test_its_rows_are_the_actions_of_the_policy(bundle: PolicyBundle, instruction: str) -> None:
    original, seen = policy(proprio=SCALES), observation()
    with torch.inference_mode():
        image = torch.from_numpy(seen.images[CAMERA])[None]
        logits = original(image, original.words([instruction]), original.proprio(seen.state["hand"][None]))[0]
    wanted = original.tokenizer.decode(logits.argmax(-1).numpy())
    decision = OnnxPolicy(bundle).open(panda(32), instruction).act(seen)
    assert decision.chunk is not None
    assert np.array([action_of(row) for row in decision.chunk]) == pytest.approx(wanted, abs=1e-6)
    assert np.abs(decision.chunk[:, 2]).max() == 0.0  # what the demonstrations never do is exactly nothing
    assert np.abs(decision.chunk[:, :2]).max() < 0.05


def test_its_manifest_says_what_the_robot_must_know(bundle: PolicyBundle, folder: Path) -> None:
    manifest, actions = bundle.manifest, bundle.manifest.spec.actions
    assert (actions.horizon, actions.execute_rows, actions.period_s) == (8, 3, 0.05)  # type: ignore[union-attr]
    assert manifest.spec.horizon == 174  # 520 actions, three at a time
    assert manifest.spec.state == HAND
    assert manifest.tasks == ("reach the red blob", "reach the blue blob")
    assert (manifest.provenance.algorithm, manifest.provenance.steps) == ("GRPO (SimpleVLA-RL)", 41)
    assert manifest.parity["actions"] == 0.0
    blind = PolicyBundle.load(export(folder, "sees.pt", "--rows", "8", "--name", "blind"), threads=1).manifest
    assert (blind.name, len(blind.spec.state), [one.role for one in blind.inputs]) == ("blind", 0, ["image", "text"])


def test_it_does_not_bind_to_an_arm_that_takes_increments(bundle: PolicyBundle) -> None:
    with pytest.raises(BindError):
        OnnxPolicy(bundle).open(PIPER, "reach the red blob")
    with pytest.raises(PolicyError, match="got 0 tokens"):
        OnnxPolicy(bundle).open(panda(32), " ")


def test_the_tokenizer_has_the_ids_of_the_policy() -> None:
    config = policy().config
    tokenizer = tokenizer_of(config)
    for text in ("reach the red blob", "REACH", "blob, blob", "the\u00a0red\u2003blob", "\u0130", "[PAD] [UNK]"):
        assert tokenizer.encode(text).ids == config.word_ids(text), text


def test_what_differs_from_torch_is_not_written(folder: Path) -> None:
    with pytest.raises(ExportError, match="onnx logits: got a difference"):
        export(folder, "sees.pt", "--tolerance", "0", "--out", str(folder / "none"))
    assert not (folder / "none").exists()


def test_what_is_not_liberos_is_refused(folder: Path) -> None:
    six = Statistics((-1.0,) * 6, (1.0,) * 6, (True,) * 6)
    save(folder / "six.pt", KIND, policy_payload(small_policy(actions=six)))
    with pytest.raises(ExportError, match="numbers of an action: got 6, expected 7"):
        export(folder, "six.pt")
    with pytest.raises(ExportError, match="rows: got 9, expected 1 to 8"):
        export(folder, "sees.pt", "--rows", "9")
    with pytest.raises(CheckpointError, match=r"nothing\.pt"):
        export(folder, "nothing.pt")


def test_each_kind_of_checkpoint_has_its_own_options(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for more, expected in (([], "--results"), ([f"--checkpoint={folder / 'sees.pt'}"], "--demonstrations")):
        with pytest.raises(SystemExit, match="0"):
            main([*more, "--help"])
        assert expected in capsys.readouterr().out
