"""Weights of a policy out of the graphs of its bundle: what `torch.onnx.export` did to them, undone.

Most initializers keep the parameter's name. The exporter changes the others in three ways:

- The matrix of a linear layer is transposed and has no name where the layer maps sequences. Nodes are in the order in
  which the network computes, so the k-th product with such a matrix is that of the k-th layer that runs.
- A batch normalisation is folded into the convolution before it. Here it becomes the identity and the folded bias.
- What does not depend on the inputs is a constant: the fusion token, and the sum of a camera's and a cell's vector, of
  which only the sum is known. Where to divide it makes no difference to any output.

None of this proves that the graph computes the same otherwise: `start.load_policy` compares them.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import torch
from onnx import numpy_helper
from torch import nn

from training.errors import CheckpointError
from training.models.spoc import SpocPolicy, Text
from training.runtime import torch_file
from training.runtime.weights import fill

PREFIX = "policy."
"""Of every parameter's name in a graph: the exporter's modules hold the policy by this name."""
PLACES_TOLERANCE = 1e-5
"""Largest difference between the vectors of cameras and cells, each for itself, and their sums; rounding makes 1e-7."""

Values = dict[str, npt.NDArray[Any]]


def read_weights(policy: SpocPolicy, graphs: Mapping[str, onnx.GraphProto], source: Path) -> None:
    """Puts the weights of a bundle's graphs, by their names in the manifest, into an untrained policy.

    Raises:
        CheckpointError: a parameter has no initializer or several, a matrix belongs to none, or a number is not finite.
    """
    values = _values(graphs["policy"])
    named = {**_values(graphs["text"]), **values}
    weights = {name: named[PREFIX + name] for name in policy.state_dict() if PREFIX + name in named}
    taken = {PREFIX + name for name in (*weights, *dict(policy.named_buffers()))}
    left = {name: value for name, value in values.items() if name not in taken}
    weights |= _products(policy, graphs["policy"], left, weights, source)
    weights |= _normalisations(policy, left)
    weights |= _constants(policy, left, weights, source)
    unknown = sorted(name for name, value in left.items() if value.ndim > 1 and value.dtype.kind == "f")
    if unknown:
        raise CheckpointError(
            f"{source}: got {torch_file.shown(unknown)} in the graph, which are no parameters of ours"
        )
    tensors = {name: torch.from_numpy(np.array(value)) for name, value in weights.items()}
    torch_file.expect_numbers(tensors, f"{source}: the policy's weights")
    fill(policy, tensors, source)


def _values(graph: onnx.GraphProto) -> Values:
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}


def _products(
    policy: SpocPolicy, graph: onnx.GraphProto, left: Values, known: Mapping[str, object], source: Path
) -> Values:
    """Takes the matrices without a name out of `left`, each for the linear layer that runs at its place."""
    layers = [name for name in linear_layers(policy) if f"{name}.weight" not in known]
    matrices = [node.input[1] for node in graph.node if node.op_type == "MatMul" and node.input[1] in left]
    if len(matrices) != len(layers):
        raise CheckpointError(f"{source}: got {len(matrices)} products with a matrix, expected {len(layers)}")
    return {f"{name}.weight": left.pop(matrix).T for name, matrix in zip(layers, matrices)}


@torch.no_grad()
def linear_layers(policy: SpocPolicy) -> list[str]:
    """Returns the names of the linear layers, in the order in which one step of an episode runs them."""
    ran: list[str] = []
    hooks = [
        module.register_forward_pre_hook(lambda _, __, name=name: ran.append(name))
        for name, module in policy.named_modules()
        if isinstance(module, nn.Linear)
    ]
    config, (layers, heads, size) = policy.config, policy.heads
    tokens = torch.zeros(1, len(config.cameras), config.image.tokens, config.image.token_width)
    number, cache = torch.zeros(1, dtype=torch.int64), torch.zeros(layers, 1, heads, 0, size)
    text = Text(torch.zeros(1, 1, config.text.width))
    policy.eval().step(tokens, text, number, torch.zeros(1, 1), number, cache, cache)
    for hook in hooks:
        hook.remove()
    return ran


def _normalisations(policy: SpocPolicy, left: Values) -> Values:
    """Takes the biases of folded batch normalisations out of `left`; a normalisation keeps nothing but its bias."""
    made: Values = {}
    for name, module in policy.named_modules():
        parent, _, place = name.rpartition(".")
        bias = f"{PREFIX}{parent}.{int(place) - 1}.weight_bias" if isinstance(module, nn.BatchNorm2d) else ""
        if bias in left:
            channels = np.ones(module.num_features, np.float32)
            scale = channels * np.sqrt(np.float32(1.0 + module.eps))  # divided by the root of variance + eps: 1
            numbers = {"weight": scale, "bias": left.pop(bias), "running_mean": 0 * channels, "running_var": channels}
            made |= {f"{name}.{each}": value for each, value in numbers.items()}
            made[f"{name}.num_batches_tracked"] = np.array(0)
    return made


def _constants(policy: SpocPolicy, left: Values, known: Mapping[str, object], source: Path) -> Values:
    """Takes the fusion token, and the vectors of cameras and cells, out of `left`."""
    width, cameras, cells = policy.config.width, len(policy.config.cameras), policy.config.image.tokens
    made: Values = {}
    token = _only(left, (1, 1, width))
    if token is not None:
        made["fusion.token"] = token.reshape(width)
    if policy.visual.position is None or "visual.position" in known:
        alone = _only(left, (cameras, 1, width))
        return made if alone is None else {**made, "visual.camera": alone[:, 0]}
    places = _only(left, (cameras, cells, width))
    if places is None:
        return made
    camera = places.mean(1)
    position = (places - camera[:, None]).mean(0)
    worst = float(np.abs(camera[:, None] + position - places).max())
    if worst > PLACES_TOLERANCE:
        got = f"vectors of cameras and cells that are no sums: {worst:g} off"
        raise CheckpointError(f"{source}: got {got}, expected at most {PLACES_TOLERANCE:g}")
    return {**made, "visual.camera": camera, "visual.position": position}


def _only(left: Values, shape: tuple[int, ...]) -> npt.NDArray[Any] | None:
    """Takes the only array of floats of a shape out of `left`; None where there is none, or several."""
    names = [name for name, value in left.items() if value.shape == shape and value.dtype.kind == "f"]
    return left.pop(names[0]) if len(names) == 1 else None
