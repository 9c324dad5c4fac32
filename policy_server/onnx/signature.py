"""Expected inputs and outputs of a bundle's graphs, derived from its manifest, and their check."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol

import onnxruntime as ort

from policy_server.errors import BundleError
from policy_server.graph_inputs import Port
from policy_server.manifest import PolicyManifest
from robots.spec import DiscreteActions

TYPES = {"tensor(uint8)": "uint8", "tensor(float)": "float32", "tensor(int64)": "int64"}
TOKEN_IDS, FEATURES = Port("int64", (1, None)), Port("float32", (1, None, None))


class NodeArg(Protocol):
    """onnxruntime's description of one input or output."""

    name: str
    type: str
    shape: list[int | str | None]


def check_policy_graph(session: ort.InferenceSession, manifest: PolicyManifest) -> None:
    """Raises BundleError for the first input or output of the policy graph that is not as the manifest declares it.

    The graph may have more outputs; they are not computed.
    """
    spec, actions, file = manifest.spec, manifest.spec.actions, manifest.graphs["policy"].file
    inputs = {one.name: one.port(spec) for one in manifest.inputs}
    if isinstance(actions, DiscreteActions):
        outputs = {manifest.output: Port("float32", (1, len(actions.names)))}
    else:
        outputs = {manifest.output: Port("float32", (1, actions.horizon, len(actions.vector)))}
    inputs |= {tensor.input: Port(tensor.dtype, tensor.initial_shape) for tensor in manifest.recurrent}
    outputs |= {tensor.output: Port(tensor.dtype, tensor.initial_shape) for tensor in manifest.recurrent}
    _check(f"{file} inputs", session.get_inputs(), inputs)
    _check(f"{file} outputs", [node for node in session.get_outputs() if node.name in outputs], outputs)


def check_text_graph(session: ort.InferenceSession, manifest: PolicyManifest) -> None:
    """Raises BundleError unless the text graph has one input, token ids, and one output, features."""
    file = manifest.graphs["text"].file
    for what, nodes, port in (
        ("inputs", session.get_inputs(), TOKEN_IDS),
        ("outputs", session.get_outputs(), FEATURES),
    ):
        names = [node.name for node in nodes]
        if len(names) != 1:
            raise BundleError(f"{file} {what}: got {', '.join(names)}, expected one, {port}")
        _check(f"{file} {what}", nodes, {names[0]: port})


def _check(what: str, got: Iterable[NodeArg], expected: Mapping[str, Port]) -> None:
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
