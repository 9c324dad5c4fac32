"""Small vision-language-action policies and the options to train them on the toy in `reach_world`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from reach_world import SIZE

from training.vla.action_tokenizer import Statistics
from training.vla.checkpoint import KIND, policy_payload
from training.vla.config import VlaConfig
from training.vla.grpo_options import GrpoOptions
from training.vla.model import VlaPolicy, new_vla
from training.vla.sft import SftOptions

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
