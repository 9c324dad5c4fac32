"""Manifests of schema 1, whose graphs had fixed inputs; they are read, and no longer written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from policy_server.graph_inputs import (
    GraphInput,
    ImageInput,
    PreviousActionInput,
    StateInput,
    StepInput,
    TextInput,
)
from policy_server.manifest_parts import GraphFile, Provenance, RecurrentTensor
from robots.spec import DiscreteActions, PolicySpec


@dataclass(frozen=True)
class PreviousAction:
    """Tokens fed as the previous action, as in `PreviousActionInput`."""

    start: int
    blocked: int | None = None


@dataclass(frozen=True)
class ManifestSchema1:
    """Fields of schema 1.

    The graph "policy" takes every camera by its name as (1, H, W, 3) uint8, `text_features`, `state`, `step`, and with
    discrete actions `previous_action`; it gives `logits` or `actions`.
    """

    name: str
    spec: PolicySpec
    graphs: Mapping[str, GraphFile]
    tokenizer: GraphFile
    recurrent: tuple[RecurrentTensor, ...]
    previous_action: PreviousAction
    provenance: Provenance
    tasks: tuple[str, ...] = ()
    parity: Mapping[str, float] = field(default_factory=dict)
    schema: int = 1

    def inputs(self) -> tuple[GraphInput, ...]:
        """Returns the inputs of the policy graph by role."""
        inputs: list[GraphInput] = [ImageInput(camera.name, camera.name) for camera in self.spec.cameras]
        inputs += [TextInput("text_features"), StateInput("state")]
        if isinstance(self.spec.actions, DiscreteActions):
            tokens = self.previous_action
            inputs.append(PreviousActionInput("previous_action", tokens.start, tokens.blocked))
        return (*inputs, StepInput("step"))

    def fields(self) -> dict[str, Any]:
        """Returns the fields of a `PolicyManifest` that says the same."""
        return {
            "name": self.name,
            "spec": self.spec,
            "graphs": self.graphs,
            "inputs": self.inputs(),
            "output": "logits" if isinstance(self.spec.actions, DiscreteActions) else "actions",
            "tokenizer": self.tokenizer,
            "recurrent": self.recurrent,
            "provenance": self.provenance,
            "tasks": self.tasks,
            "parity": self.parity,
        }
