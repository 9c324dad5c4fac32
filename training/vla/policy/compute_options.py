"""Options of how a large policy is computed; light, so that a help text needs no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from training.errors import ConfigError

Precision: TypeAlias = Literal["fp32", "bf16"]


@dataclass(frozen=True)
class ComputeOptions:
    """Precision, and parts on several ranks: of policies of network "tokens", the imported ones."""

    precision: Precision = "fp32"
    """bf16: compute with weights rounded to bfloat16, in rollouts too; weights, gradients and the optimiser's state are
    float32, in which log-probabilities and losses are computed."""
    sharded: bool = False
    """Divide weights, gradients and the optimiser's state among the ranks of torchrun (FSDP)."""


def check_compute(options: ComputeOptions, network: str, ranks: int) -> None:
    """Raises ConfigError for options that a network, or so many ranks, cannot have."""
    if network != "tokens" and options.precision != "fp32":
        raise ConfigError("precision", options.precision, f"fp32 for network '{network}'; bf16 is for 'tokens'")
    if network != "tokens" and options.sharded:
        raise ConfigError("sharded", f"a policy of network '{network}'", "one of network 'tokens'")
    if options.sharded and ranks < 2:
        raise ConfigError("sharded", f"{ranks} rank", "several, started by torchrun --nproc-per-node N")
