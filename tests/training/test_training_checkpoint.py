"""Checkpoints: whole or the old one, read without running code, and named when they do not fit."""

from __future__ import annotations

import os
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from small_policies import SPOC_LIKE, TINY, tiny_policy, write_run

from training.data.features import encode_images, encoder_name, encoder_path, run_encoder
from training.errors import CheckpointError
from training.models.config import MINI
from training.runtime.checkpoint import (
    expect_options,
    load,
    new_policy,
    policy_from,
    policy_payload,
    random_state,
    save,
    set_random_state,
)


@pytest.mark.parametrize("shape", [TINY, SPOC_LIKE], ids=lambda one: one.name)
def test_a_policy_comes_back_as_it_was_saved(tmp_path: Path, shape: object) -> None:
    policy = tiny_policy(5, shape)  # type: ignore[arg-type]
    save(tmp_path / "one.pt", "policy", policy_payload(policy))
    again = policy_from(load(tmp_path / "one.pt", "policy"), tmp_path / "one.pt")
    assert again.config == policy.config
    assert not again.training
    for name, value in policy.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name


def test_the_same_seed_gives_the_same_policy() -> None:
    one, same, other = (new_policy(TINY, seed).actor.weight for seed in (1, 1, 2))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_a_missing_checkpoint_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"none.pt: got no such file"):
        load(tmp_path / "none.pt", "policy")


@pytest.mark.parametrize("fraction", [0.0, 0.3, 0.95])
def test_a_damaged_checkpoint_is_named(tmp_path: Path, fraction: float) -> None:
    path = tmp_path / "one.pt"
    save(path, "policy", policy_payload(tiny_policy()))
    data = path.read_bytes()
    path.write_bytes(data[: int(fraction * len(data))])
    with pytest.raises(CheckpointError, match=r"one.pt: got .*"):
        load(path, "policy")


def test_a_checkpoint_cannot_run_code(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.mkdir, (str(tmp_path / "owned"),)

    path = tmp_path / "evil.pt"
    path.write_bytes(pickle.dumps({"kind": "policy", "schema": 1, "weights": Evil()}))
    with pytest.raises(CheckpointError, match="expected a checkpoint of kind"):
        load(path, "policy")
    torch.save({"kind": "policy", "schema": 1, "weights": Evil()}, path)
    with pytest.raises(CheckpointError, match="expected a checkpoint of kind"):
        load(path, "policy")
    assert not (tmp_path / "owned").exists()


def test_a_checkpoint_of_another_kind_is_refused(tmp_path: Path) -> None:
    save(tmp_path / "encoder.pt", "image_encoder", {"weights": {}})
    with pytest.raises(CheckpointError, match="got kind 'image_encoder'"):
        load(tmp_path / "encoder.pt", "policy")


def test_a_file_that_is_no_checkpoint_is_refused(tmp_path: Path) -> None:
    torch.save([1, 2], tmp_path / "list.pt")
    with pytest.raises(CheckpointError, match="got list, expected a checkpoint of kind 'policy', schema 1"):
        load(tmp_path / "list.pt", "policy")
    torch.save({"kind": "policy", "schema": 99}, tmp_path / "future.pt")
    with pytest.raises(CheckpointError, match="schema 1"):
        load(tmp_path / "future.pt", "policy")


def test_weights_that_do_not_fit_are_refused() -> None:
    payload = policy_payload(tiny_policy())
    payload["policy"] = replace(TINY, width=64).to_json()
    with pytest.raises(CheckpointError, match=r"a.pt: got weights that do not fit the configuration .*size mismatch"):
        policy_from(payload, Path("a.pt"))


def test_a_payload_without_weights_is_refused() -> None:
    with pytest.raises(CheckpointError, match=r"a.pt: got \['kind'\]"):
        policy_from({"kind": "policy"}, Path("a.pt"))


def test_a_save_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "last.pt"
    save(path, "policy", {"update": 1})
    with pytest.raises((AttributeError, pickle.PicklingError)):
        save(path, "policy", {"update": lambda: 2})
    assert load(path, "policy")["update"] == 1


def test_random_numbers_go_on_where_they_were() -> None:
    rng = np.random.default_rng(4)
    torch.manual_seed(4)
    state = random_state(rng)
    drawn = (rng.random(), torch.rand(1).item())
    other = np.random.default_rng(77)
    set_random_state(state, other)
    assert (other.random(), torch.rand(1).item()) == drawn


def test_a_run_without_an_encoder_says_what_makes_it(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"expected what `ferry train perception --run .*` writes"):
        run_encoder(tmp_path, TINY)
    assert encoder_name(tmp_path, TINY) == "untrained"


def test_an_encoder_of_another_size_is_refused(tmp_path: Path) -> None:
    run = write_run(tmp_path, shards=1, episodes=1)
    with pytest.raises(CheckpointError, match=r"got an encoder for .*'height': 28.*"):
        run_encoder(run, MINI)


def test_the_name_of_the_features_depends_on_the_encoder(tmp_path: Path) -> None:
    run = write_run(tmp_path, shards=1, episodes=1)
    before = encoder_name(run, TINY)
    payload = load(encoder_path(run), "image_encoder")
    payload["weights"]["presence.bias"] += 1.0
    save(encoder_path(run), "image_encoder", {name: payload[name] for name in ("image", "weights")})
    assert len(before) == 64
    assert encoder_name(run, TINY) != before
    assert encoder_name(run, SPOC_LIKE) == "random"


def test_stored_features_are_the_encoders_numbers(tmp_path: Path) -> None:
    encoder = run_encoder(write_run(tmp_path, shards=1, episodes=1), TINY)
    rng = np.random.default_rng(0)
    steps = [tuple(rng.integers(0, 256, (28, 48, 3), dtype=np.uint8) for _ in range(2)) for _ in range(30)]
    features = encode_images(encoder, steps)
    assert features.shape == (30, 2, 4, 86)  # more images than are encoded at once
    expected = encoder(torch.from_numpy(steps[25][1])[None])[0].half().numpy()
    assert np.allclose(features[25, 1], expected, atol=2e-3)


def test_an_option_that_is_newer_than_the_run_counts_as_its_default() -> None:
    was, default = {"lr": 1.0, "reward": {"success": 10.0}}, {"lr": 2.0, "reward": {"success": 1.0, "shaping": 0.0}}
    expect_options(Path("x.pt"), was, {"lr": 1.0, "reward": {"success": 10.0, "shaping": 0.0}}, default)
    message = r"x.pt: got reward {.*'shaping': 0.0}, expected {.*'shaping': 1.0} as requested"
    with pytest.raises(CheckpointError, match=message):
        expect_options(Path("x.pt"), was, {"lr": 1.0, "reward": {"success": 10.0, "shaping": 1.0}}, default)
