"""Checkpoints of vision-language-action policies."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from training.errors import CheckpointError
from training.runtime import torch_file
from training.runtime.checkpoint import load, load_weights
from training.vla.policy.config import VlaConfig
from training.vla.policy.model import VlaPolicy

KIND = "vla"


def policy_payload(policy: VlaPolicy) -> dict[str, Any]:
    """Returns the part of a checkpoint that `policy_from` needs."""
    return {"policy": policy.config.to_json(), "weights": policy.state_dict()}


def bare_policy(config: VlaConfig) -> VlaPolicy:
    """Makes a policy of any weights, with the adapters that its configuration asks for."""
    policy = VlaPolicy(config)
    if config.lora_rank:
        from training.vla.policy.lora import with_adapters

        with_adapters(policy)
    return policy


def policy_from(payload: Mapping[str, Any], path: Path) -> VlaPolicy:
    """Loads the policy in a checkpoint's payload, in evaluation mode.

    Raises:
        CheckpointError: the weights do not fit the configuration, or are not finite.
    """
    if not {"policy", "weights"} <= payload.keys():
        raise CheckpointError(f"{path}: got {sorted(payload)}, expected a policy and its weights")
    torch_file.expect_numbers(payload["weights"], f"{path}: the policy's weights")
    policy = bare_policy(VlaConfig.from_json(payload["policy"]))
    load_weights(policy, payload["weights"], path)
    return policy.eval()


def load_policy(path: Path) -> VlaPolicy:
    """Loads the policy of a checkpoint file. Raises CheckpointError."""
    return policy_from(load(path, KIND), path)
