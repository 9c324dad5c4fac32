"""Where a policy's weights are, and the precision in which it computes with them."""

from __future__ import annotations

import torch

from training.runtime.sharding import shard
from training.vla.policy.compute_options import ComputeOptions, check_compute
from training.vla.policy.model import VlaPolicy


def place(policy: VlaPolicy, options: ComputeOptions, device: torch.device, ranks: int) -> None:
    """Moves a policy that is to be trained to the device: whole, or divided among the ranks.

    Raises:
        ConfigError: the policy, or so many ranks, cannot have these options.
    """
    check_compute(options, policy.config.network, ranks)
    policy.precision, policy.sharded = options.precision, options.sharded
    if not options.sharded:
        policy.to(device)
        return
    shard(policy, device, rounded=options.precision == "bf16")


def round_weights(policy: VlaPolicy) -> None:
    """Keeps the weights of a policy that only acts in the precision in which it computes; buffers stay in float32."""
    if policy.precision == "bf16":
        for one in policy.parameters():
            one.data = one.data.to(torch.bfloat16)
