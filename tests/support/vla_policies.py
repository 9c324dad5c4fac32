"""Small vision-language-action policies and the options to train them on the toy in `reach_world`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from reach_world import SIZE

from training.vla.grpo.group_rollouts import Groups, Rollouts, results_of
from training.vla.grpo.options import GrpoOptions
from training.vla.policy.action_tokenizer import Statistics
from training.vla.policy.backbone import Backbone
from training.vla.policy.checkpoint import KIND, policy_payload
from training.vla.policy.config import VlaConfig
from training.vla.policy.model import VlaPolicy, new_vla
from training.vla.sft.sft import SftOptions

SMALL: dict[str, Any] = {
    "width": 48, "layers": 1, "heads": 2, "ffn": 96, "channels": (8, 16, 24, 32), "bins": 16,
}  # fmt: skip
"""Sizes that learn the toy in seconds."""

ACTIONS = Statistics((-1.0,) * 7, (1.0,) * 7, (True,) * 7)


def small_policy(seed: int = 0, **changes: Any) -> VlaPolicy:
    """An untrained policy for the toy, ready to act."""
    words = ("blob", "blue", "reach", "red", "the")
    sizes = {**SMALL, "actions": ACTIONS, "words": words, "image_size": SIZE, "chunk": 8, **changes}
    return new_vla(VlaConfig(**sizes), seed).eval()


VISION = {
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "patch_size": 16,
}
LANGUAGE = {
    "model_type": "llama", "vocab_size": 48, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
    "num_attention_heads": 2, "num_key_value_heads": 2,
}  # fmt: skip
BACKBONE = Backbone(
    ({"model_type": "dinov2_with_registers", "num_register_tokens": 1, **VISION},
     {"model_type": "siglip_vision_model", **VISION}),
    LANGUAGE, last_token=47, stop_token=1,
)  # fmt: skip
"""A vision-language model's parts at a tiny size."""


def tokens_policy(seed: int = 0, **changes: Any) -> VlaPolicy:
    """An untrained policy of network "tokens" for the toy, with random weights that make up their mind."""
    policy = small_policy(seed, network="tokens", backbone=BACKBONE, chunk=2, **changes)
    with torch.no_grad():
        policy.network.head.weight.mul_(3.0)  # type: ignore[union-attr, operator]
    return policy


def rollouts_of(groups: Groups) -> Rollouts:
    """Groups of task 0 that were all kept."""
    kept = [results_of(0, group) for group in groups]
    return Rollouts(kept, kept, dict(enumerate(groups)))


def write_policy(run: Path, policy: VlaPolicy) -> Path:
    """Writes what SFT would write."""
    from training.runtime.checkpoint import save

    path = run / "sft" / "last.pt"
    save(path, KIND, policy_payload(policy))
    return path


def sft_options(run: Path, **changes: Any) -> SftOptions:
    """Options of a short training."""
    made = {"size": "small", "updates": 90, "lr": 3e-3, "device": "cpu", "threads": 1, **changes}
    return SftOptions(run, **made)


def grpo_options(run: Path, **changes: Any) -> GrpoOptions:
    """Options of a short training."""
    small = {"groups": 2, "group_size": 4, "minibatch": 4, "epochs": 1, "steps": 2, "max_tries": 8}
    machine = {"device": "cpu", "threads": 1, "workers": 1, "evaluate_every": 0}
    return GrpoOptions(run, **{**small, **machine, "temperature": 1.0, "lr": 1e-3, **changes})
