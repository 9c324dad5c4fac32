"""Parity check of an exported bundle against the torch policy, step by step through the recurrent state."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch

from policy_server.bundle import PolicyBundle
from policy_server.graph_inputs import StepValues
from training.data.recording import Recording
from training.errors import ExportError
from training.models.spoc import SpocPolicy
from training.models.tokenizer import encode, tokenizer_for

TOLERANCE = 1e-3
"""Largest difference allowed of a logit or a cached value."""

Array = npt.NDArray[np.float32]


@dataclass
class Parity:
    """Largest absolute differences so far, by output."""

    worst: dict[str, float] = field(default_factory=dict)

    def add(self, name: str, torch_value: Array, onnx_value: Array) -> None:
        """Adds one pair of outputs; NaN counts as infinitely different."""
        same_shape = torch_value.shape == onnx_value.shape
        difference = float(np.abs(torch_value - onnx_value).max(initial=0.0)) if same_shape else np.inf
        self.worst[name] = max(self.worst.get(name, 0.0), np.inf if np.isnan(difference) else difference)

    def check(self, tolerance: float) -> None:
        """Raises ExportError when an output differs by more than `tolerance`."""
        for name, difference in self.worst.items():
            if not difference <= tolerance:
                raise ExportError(
                    f"onnx {name}: got a difference of {difference:g} to torch, expected at most {tolerance:g}"
                )


def compare(
    policy: SpocPolicy, bundle: PolicyBundle, recording: Recording, tolerance: float = TOLERANCE
) -> dict[str, float]:
    """Runs both along `recording`, each through its own recurrent state; returns the largest differences by output.

    Raises:
        ExportError: a number differs by more than `tolerance`, or the most probable action differs and is no tie.
    """
    policy.eval()
    layers, heads, size = policy.heads
    keys = values = torch.zeros(layers, 1, heads, 0, size)
    recurrent = bundle.initial_state()
    parity = Parity()
    with torch.no_grad():
        text = policy.text(*encode(tokenizer_for(policy.config.text), [recording.instruction])[:1])
        features = bundle.encode_text(recording.instruction, max_tokens=512)
        assert features is not None  # the policy takes text
        parity.add("text_features", text.features.numpy(), features)
        for number, step in enumerate(recording.steps):
            images = [torch.from_numpy(step.images[name].copy())[None] for name in policy.config.cameras]
            previous, state = torch.tensor([step.previous_action]), torch.from_numpy(step.state)[None]
            logits, keys, values = policy.step(
                policy.images(*images), text, previous, state, torch.tensor([number]), keys, values
            )
            given = StepValues(step.images, step.state, features, step.previous_action, number)
            got, recurrent = bundle.run(given, recurrent)
            parity.add("logits", logits[0].numpy(), got)
            parity.add("present_keys", keys.numpy(), np.asarray(recurrent["past_keys"], np.float32))
            parity.add("present_values", values.numpy(), np.asarray(recurrent["past_values"], np.float32))
            parity.check(tolerance)
            _check_choice(logits[0].numpy(), got, number, tolerance)
    return parity.worst


def _check_choice(torch_logits: Array, onnx_logits: Array, step: int, tolerance: float) -> None:
    ours, theirs = int(torch_logits.argmax()), int(onnx_logits.argmax())
    if ours != theirs and torch_logits[ours] - torch_logits[theirs] > tolerance:
        raise ExportError(f"onnx action at step {step}: got {theirs}, expected torch's {ours}")
