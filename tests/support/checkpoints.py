"""Checkpoints and weights, compared bit for bit."""

from __future__ import annotations

from typing import Any

import torch


def copied(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """A state dict that training does not change."""
    return {name: one.clone() for name, one in state.items()}


def same(one: object, other: object) -> bool:
    """Whether two nested payloads are equal bit for bit."""
    if isinstance(one, torch.Tensor):
        return isinstance(other, torch.Tensor) and torch.equal(one, other)
    if isinstance(one, dict):
        return isinstance(other, dict) and one.keys() == other.keys() and all(same(one[k], other[k]) for k in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))  # type: ignore[arg-type]
    return one == other


def different(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
    """Names in two checkpoints whose values are not the same."""
    plain = ("command", "git_commit")
    return [name for name in {**one, **other} if name not in plain and not same(one.get(name), other.get(name))]
