"""Checkpoints: one file of tensors and plain values, written atomically, read without running code from it."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from torch import nn

from policy_server.manifest import sha256_of
from training.errors import CheckpointError
from training.models.config import PolicyConfig
from training.models.spoc import SpocPolicy
from training.models.tokenizer import TABLE_ROWS
from training.runtime import torch_file
from training.runtime.options import plain

SCHEMA = 1

RELEASED = ("model_state_dict", "state_dict")
"""Keys of AllenAct's and of Lightning's checkpoints, which `ferry import` reads."""


def save(path: Path, kind: str, payload: Mapping[str, Any]) -> None:
    """Writes `payload` (tensors and plain values) atomically: a reader finds the old file or the whole new one.

    Raises:
        CheckpointError: it cannot be written, because the disk is full for instance; the old file is kept.
    """
    content = io.BytesIO()  # torch's own writer does not report why it failed
    torch.save({"schema": SCHEMA, "kind": kind, **payload}, content)
    part = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(content.getbuffer())
        os.replace(part, path)
    except OSError as error:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        size = f"{len(content.getbuffer()) / 1e6:.1f} MB"
        raise CheckpointError(
            f"{path}: got '{error.strerror}', expected to write {size}; what was there before is kept"
        ) from error


def load(path: Path, kind: str) -> dict[str, Any]:
    """Reads what `save` wrote.

    Raises:
        CheckpointError: the file is missing, damaged, or of another kind.
    """
    payload: dict[str, Any] = torch_file.read(path, f"a checkpoint of kind '{kind}'")
    if not isinstance(payload, dict) or payload.get("kind") != kind or payload.get("schema") != SCHEMA:
        got = f"kind {payload.get('kind')!r}" if isinstance(payload, dict) else type(payload).__name__
        released = isinstance(payload, dict) and not payload.keys().isdisjoint(RELEASED)
        hint = "; `ferry import ... --checkpoint PATH` makes one of a released checkpoint" if released else ""
        raise CheckpointError(f"{path}: got {got}, expected a checkpoint of kind '{kind}', schema {SCHEMA}{hint}")
    return payload


def file_sha256(path: Path) -> str:
    """Computes the SHA-256 of a file, hexadecimal. Raises CheckpointError for a missing file."""
    try:
        return sha256_of(path.read_bytes())
    except OSError as error:
        raise CheckpointError(f"{path}: got '{error.strerror}', expected a checkpoint") from error


def expect_new(path: Path, instead: str = "--resume to continue it, or another --name") -> None:
    """Raises CheckpointError where a new run would overwrite another run's checkpoint."""
    if path.exists():
        raise CheckpointError(f"{path}: the checkpoint exists already; use {instead}")


def expect_options(
    path: Path,
    saved: Mapping[str, Any],
    wanted: Mapping[str, Any],
    default: Mapping[str, Any] | None = None,
    *,
    renamed: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Raises CheckpointError for the first option in `wanted` whose value in the `saved` options of a run differs.

    Names in `saved` that have changed since are looked up in `renamed`. An option that did not exist yet when the run
    was made counts as its `default`.
    """
    current = {renamed.get(name, name): plain(value) for name, value in saved.items()}
    for name, value in _completed(current, default or {}).items():
        if name in wanted and wanted[name] != value:
            raise CheckpointError(
                f"{path}: got {name} {value}, expected {wanted[name]} as requested; resume with the same options, or "
                "start another run with --name (and --init, to go on from this one's weights)"
            )


def _completed(some: Mapping[str, Any], default: Mapping[str, Any]) -> dict[str, Any]:
    """Adds missing options from `default`, in nested options too."""
    made = {**default, **some}
    both = [name for name in default if isinstance(default[name], Mapping) and isinstance(made[name], Mapping)]
    return {**made, **{name: _completed(made[name], default[name]) for name in both}}


def new_policy(config: PolicyConfig, seed: int = 0) -> SpocPolicy:
    """Makes an untrained policy."""
    torch.manual_seed(seed)
    return SpocPolicy(config, TABLE_ROWS)


def policy_payload(policy: SpocPolicy) -> dict[str, Any]:
    """Returns the part of a checkpoint that `policy_from` needs."""
    return {"policy": policy.config.to_json(), "weights": policy.state_dict()}


def policy_from(payload: Mapping[str, Any], path: Path) -> SpocPolicy:
    """Loads the policy in a checkpoint's payload, in evaluation mode.

    Raises:
        CheckpointError: the weights do not fit the configuration, or are not finite.
    """
    if not {"policy", "weights"} <= payload.keys():
        raise CheckpointError(f"{path}: got {sorted(payload)}, expected a policy and its weights")
    torch_file.expect_numbers(payload["weights"], f"{path}: the policy's weights")
    config = PolicyConfig.from_json(payload["policy"])
    policy = SpocPolicy(config, TABLE_ROWS)
    load_weights(policy, payload["weights"], path)
    return policy.eval()


def load_weights(policy: nn.Module, weights: Mapping[str, Any], path: Path) -> None:
    """Loads the weights in the checkpoint `path`; CheckpointError where they do not fit the configuration."""
    try:
        policy.load_state_dict(weights)
    except RuntimeError as error:
        line = " ".join(str(error).split())[:200]
        raise CheckpointError(f"{path}: got weights that do not fit the configuration ({line})") from error


def random_state(rng: np.random.Generator) -> dict[str, Any]:
    """Returns the state of torch's generators and of `rng`."""
    cuda = {"cuda": torch.cuda.get_rng_state()} if torch.cuda.is_available() else {}
    return {"torch": torch.get_rng_state(), "numpy": rng.bit_generator.state, **cuda}


def set_random_state(state: Mapping[str, Any], rng: np.random.Generator) -> None:
    """Inverse of `random_state`."""
    torch.set_rng_state(state["torch"])
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"])
    rng.bit_generator.state = state["numpy"]
