"""Errors of training.

TrainingError
├── ConfigError        a configuration contradicts itself, or a name in it is unknown
├── CheckpointError    a checkpoint is missing, damaged, or of another kind
├── DataError          training data is missing, damaged, or was made by another encoder
├── Diverged           the loss is NaN or infinite, or the policy changes too fast
├── RewardError        a reward is not finite
├── DeadGroups         no group of trajectories teaches anything any more
├── RolloutMismatch    what acted is not what is trained
├── RanksLost          another rank of a run on several ranks has ended
└── ExportError        a policy cannot be exported, or its ONNX graphs differ from it
"""

from __future__ import annotations


class TrainingError(Exception):
    """Base of every error raised by `training`."""


class ConfigError(TrainingError):
    """A configuration contradicts itself, or a name in it is unknown."""

    def __init__(self, what: str, got: object, expected: object) -> None:
        super().__init__(f"{what}: got {got}, expected {expected}")
        self.what, self.got, self.expected = what, got, expected


class CheckpointError(TrainingError):
    """A checkpoint is missing, damaged, or of another kind."""


class DataError(TrainingError):
    """Training data is missing, damaged, or was made by another encoder."""


class Diverged(TrainingError):
    """The loss is NaN or infinite, or the policy changes too fast; the last good checkpoint is kept."""

    def __init__(
        self, step: int, loss: float, checkpoint: object, what: str = "loss", expected: str = "a number"
    ) -> None:
        super().__init__(
            f"{what} at step {step}: got {loss}, expected {expected}; the last good checkpoint is {checkpoint}"
        )
        self.step, self.loss = step, loss


class RewardError(TrainingError):
    """A reward is not finite; the weights are unchanged."""


class DeadGroups(TrainingError):
    """No group of trajectories has both successes and failures any more; the last checkpoint is kept."""


class RolloutMismatch(TrainingError):
    """Log-probabilities of sampled tokens differ when they are computed again: the update would be wrong."""


class RanksLost(TrainingError):
    """Another rank of a run on several ranks has ended or does not answer."""


class ExportError(TrainingError):
    """A policy cannot be exported, or its ONNX graphs differ from it; nothing was written."""
