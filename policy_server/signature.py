"""Expected inputs and outputs of a bundle's graphs, derived from its manifest, and their check."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

import onnxruntime as ort

from policy_server.errors import BundleError
from policy_server.manifest import PolicyManifest
from robots.spec import DiscreteActions

TYPES = {"tensor(uint8)": "uint8", "tensor(float)": "float32", "tensor(int64)": "int64"}


@dataclass(frozen=True)
class Port:
    """One input or output of a graph. In `shape`, None means any size and 0 a size that grows with each step."""

    dtype: str
    shape: tuple[int | None, ...]

    def __str__(self) -> str:
        sizes = ", ".join({None: "any", 0: "growing"}.get(size, str(size)) for size in self.shape)
        return f"{self.dtype} ({sizes})"


Ports = Mapping[str, Port]


class NodeArg(Protocol):
    """onnxruntime's description of one input or output."""

    name: str
    type: str
    shape: list[int | str | None]


def policy_ports(manifest: PolicyManifest) -> tuple[Ports, Ports]:
    """Returns the inputs and outputs of the policy graph."""
    spec, actions = manifest.spec, manifest.spec.actions
    inputs = {camera.name: Port("uint8", (1, camera.height, camera.width, 3)) for camera in spec.cameras}
    inputs |= {
        "text_features": Port("float32", (1, None, None)),
        "state": Port("float32", (1, len(spec.state))),
        "step": Port("int64", (1,)),
    }
    if isinstance(actions, DiscreteActions):
        inputs["previous_action"] = Port("int64", (1,))
        outputs = {"logits": Port("float32", (1, len(actions.names)))}
    else:
        outputs = {"actions": Port("float32", (1, actions.horizon, len(actions.vector)))}
    inputs |= {tensor.input: Port(tensor.dtype, tensor.initial_shape) for tensor in manifest.recurrent}
    outputs |= {tensor.output: Port(tensor.dtype, tensor.initial_shape) for tensor in manifest.recurrent}
    return inputs, outputs


def text_ports() -> tuple[Ports, Ports]:
    """Returns the inputs and outputs of the text graph."""
    return {"token_ids": Port("int64", (1, None))}, {"text_features": Port("float32", (1, None, None))}


def check_graph(file: str, session: ort.InferenceSession, inputs: Ports, outputs: Ports) -> None:
    """Raises BundleError for the first input or output of the graph in `file` that is not as expected."""
    _check(f"{file} inputs", session.get_inputs(), inputs)
    _check(f"{file} outputs", session.get_outputs(), outputs)


def _check(what: str, got: Iterable[NodeArg], expected: Ports) -> None:
    ports = {node.name: node for node in got}
    if ports.keys() != expected.keys():
        raise BundleError(f"{what}: got {', '.join(sorted(ports))}, expected {', '.join(sorted(expected))}")
    for name, port in expected.items():
        node = ports[name]
        dtype = TYPES.get(node.type, node.type)
        if dtype != port.dtype or not _fits(node.shape, port.shape):
            sizes = ", ".join(map(str, node.shape))
            raise BundleError(f"{what} '{name}': got {dtype} ({sizes}), expected {port}")


def _fits(got: list[int | str | None], expected: tuple[int | None, ...]) -> bool:
    """Returns True if each size is as expected; a symbolic size of the graph matches any."""
    if len(got) != len(expected):
        return False
    return all(not isinstance(size, int) or want is None or size == want for size, want in zip(got, expected))
