"""The loss and the scores of behaviour cloning, as pure functions."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from training.data.packing import IGNORE, Batch, Instructions
from training.models.spoc import SpocPolicy


def batch_logits(policy: SpocPolicy, batch: Batch, instructions: Instructions) -> Tensor:
    """Logits (B, T, A) of a batch, float32."""
    text = instructions.text(policy, batch.instruction.flatten())
    return policy.sequence(batch.tokens, text, batch.previous, batch.state, batch.step, batch.trajectory).float()


def imitation_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean cross-entropy (B, T, A), (B, T) -> scalar over the places that hold a step (SPOC's loss, 20 actions)."""
    return functional.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=IGNORE)


@dataclass
class Scores:
    """Loss, accuracy and recall over many batches."""

    actions: tuple[str, ...]
    loss: float = 0.0
    steps: int = 0
    right: np.ndarray = field(default_factory=lambda: np.zeros(0))
    shown: np.ndarray = field(default_factory=lambda: np.zeros(0))

    def see(self, logits: Tensor, labels: Tensor) -> None:
        """Takes a batch into account."""
        present = labels != IGNORE
        chosen, wanted = logits[present], labels[present]
        self.loss += float(functional.cross_entropy(chosen, wanted, reduction="sum"))
        self.steps += len(wanted)
        count = len(self.actions)
        hits = wanted[chosen.argmax(-1) == wanted]
        self.right = np.resize(self.right, count) if len(self.right) else np.zeros(count)
        self.shown = np.resize(self.shown, count) if len(self.shown) else np.zeros(count)
        self.right += torch.bincount(hits, minlength=count).numpy()
        self.shown += torch.bincount(wanted, minlength=count).numpy()

    def summary(self) -> dict[str, float]:
        """`loss`, `accuracy`, and `recall/<action>` of each action that was shown."""
        total = max(self.steps, 1)
        recall = {
            f"recall/{name}": float(right / shown)
            for name, right, shown in zip(self.actions, self.right, self.shown)
            if shown
        }
        return {"loss": self.loss / total, "accuracy": float(self.right.sum()) / total, **recall}
