"""Loss and validation scores of behaviour cloning."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from training.data.packing import IGNORE, Batch, Instructions
from training.models.spoc import SpocPolicy


def batch_logits(policy: SpocPolicy, batch: Batch, instructions: Instructions) -> Tensor:
    """Computes logits (B, T, A) of a batch, float32."""
    text = instructions.text(policy, batch.instruction.flatten())
    return policy.sequence(batch.tokens, text, batch.previous, batch.state, batch.step, batch.trajectory).float()


def imitation_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean cross-entropy (B, T, A), (B, T) -> scalar over the places that hold a step (SPOC's loss, 20 actions)."""
    return functional.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=IGNORE)


@dataclass
class Scores:
    """Accumulates loss, accuracy and recall over batches."""

    actions: tuple[str, ...]
    loss: float = 0.0
    steps: int = 0
    correct: np.ndarray = field(default_factory=lambda: np.zeros(0))
    occurrences: np.ndarray = field(default_factory=lambda: np.zeros(0))

    def add(self, logits: Tensor, labels: Tensor) -> None:
        """Adds a batch."""
        present = labels != IGNORE
        predicted, expected = logits[present], labels[present]
        self.loss += float(functional.cross_entropy(predicted, expected, reduction="sum"))
        self.steps += len(expected)
        count = len(self.actions)
        hits = expected[predicted.argmax(-1) == expected]
        self.correct = np.resize(self.correct, count) if len(self.correct) else np.zeros(count)
        self.occurrences = np.resize(self.occurrences, count) if len(self.occurrences) else np.zeros(count)
        self.correct += torch.bincount(hits, minlength=count).numpy()
        self.occurrences += torch.bincount(expected, minlength=count).numpy()

    def summary(self) -> dict[str, float]:
        """Returns `loss`, `accuracy`, and `recall/<action>` of each action that occurred."""
        total = max(self.steps, 1)
        recall = {
            f"recall/{name}": float(correct / occurrences)
            for name, correct, occurrences in zip(self.actions, self.correct, self.occurrences)
            if occurrences
        }
        return {"loss": self.loss / total, "accuracy": float(self.correct.sum()) / total, **recall}
