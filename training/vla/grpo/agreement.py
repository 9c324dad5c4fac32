"""Whether what acted is what is trained: log-probabilities of sampling, compared with the same ones computed again."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from torch import Tensor

from training.errors import RolloutMismatch
from training.vla.policy.compute_options import Precision

AGREEMENT: Mapping[Precision, float] = MappingProxyType({"fp32": 1e-3, "bf16": 0.2})
"""Largest difference [nat] of a token in a batch, by precision; less than what the ratio is clipped to, log 0.8."""


def expect_agreement(log_p: Tensor, sampled: Tensor, executed: Tensor, precision: Precision = "fp32") -> None:
    """Compares log-probabilities (M, chunk, D) of executed rows with those kept from sampling, before any update.

    Raises:
        RolloutMismatch: they differ: another temperature, other weights, or a network that acts otherwise in training.
    """
    worst, most = float((log_p - sampled).abs()[executed].max()), AGREEMENT[precision]
    if not worst <= most:
        raise RolloutMismatch(
            f"log-probabilities of sampled tokens: got a difference of {worst:g} nat, expected at most {most:g} in "
            f"{precision}; nothing was trained in this step"
        )
