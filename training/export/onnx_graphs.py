"""A policy as two ONNX graphs: one step of the policy, and the text encoder."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any

import onnx
import torch
from torch import Tensor, nn

from training.models.spoc import SpocPolicy, Text

INPUTS = ("text_features", "state", "previous_action", "step")
"""Inputs beside the cameras and the cache, in the order of `PolicyStep.forward`."""
CACHE = ("past_keys", "past_values")
OUTPUTS = ("logits", "present_keys", "present_values")
OPSET = 18


class PolicyStep(nn.Module):
    """One step of one episode: images, text features, state, previous action, step, cache -> logits and cache."""

    def __init__(self, policy: SpocPolicy) -> None:
        super().__init__()
        self.policy = policy

    def forward(
        self,
        images: tuple[Tensor, ...],
        text_features: Tensor,
        state: Tensor,
        previous_action: Tensor,
        step: Tensor,
        past_keys: Tensor,
        past_values: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Shapes as in `policy_server.graph_inputs`."""
        tokens = self.policy.images(*images)
        return self.policy.step(tokens, Text(text_features), previous_action, state, step, past_keys, past_values)


class TextStep(nn.Module):
    """Token ids -> text features."""

    def __init__(self, policy: SpocPolicy) -> None:
        super().__init__()
        self.policy = policy

    def forward(self, token_ids: Tensor) -> Tensor:
        """(1, L) int64 -> (1, L, D)."""
        return self.policy.text(token_ids).features


def write_policy_graph(policy: SpocPolicy, path: Path) -> None:
    """Writes the policy graph; the lengths of the text and of the cache are dynamic."""
    config = policy.config
    layers, heads, size = policy.heads
    generator = torch.Generator().manual_seed(0)
    shape = (1, config.image.height, config.image.width, 3)
    images = tuple(torch.randint(0, 255, shape, generator=generator, dtype=torch.uint8) for _ in config.cameras)
    cache = torch.randn(layers, 1, heads, 3, size, generator=generator)
    numbers = torch.zeros(1, dtype=torch.int64)
    text = torch.randn(1, 5, config.text.width, generator=generator)
    example = (images, text, torch.zeros(1, 1), numbers, numbers.clone(), cache, cache.clone())
    dynamic: Any = (tuple({} for _ in images), {1: _open()}, {}, {}, {}, {3: _open()}, {3: _open()})
    write_graph(PolicyStep(policy), example, dynamic, (*config.cameras, *INPUTS, *CACHE), OUTPUTS, path)


def write_text_graph(policy: SpocPolicy, path: Path) -> None:
    """Writes the text graph; the number of tokens is dynamic."""
    example = (torch.arange(5)[None],)
    write_graph(TextStep(policy), example, ({1: _open()},), ("token_ids",), ("text_features",), path)


def _open() -> Any:
    return torch.export.Dim.DYNAMIC


def write_graph(
    module: nn.Module, example: Any, dynamic: Any, inputs: tuple[str, ...], outputs: tuple[str, ...], path: Path
) -> None:
    """Writes a module's graph; `example` and `dynamic` are its inputs and their open dimensions, in order."""
    with _quiet_exporter(), torch.no_grad():
        torch.onnx.export(
            module.eval(),
            example,
            str(path),
            input_names=list(inputs),
            output_names=list(outputs),
            dynamic_shapes=dynamic,
            dynamo=True,
            external_data=False,
            opset_version=OPSET,
            optimize=True,
            verbose=False,
        )
    _forget_sources(path)


def _forget_sources(path: Path) -> None:
    """Removes the exporter's source references, with this machine's paths, from every node and value."""
    model = onnx.load(path)
    model.doc_string = ""
    del model.metadata_props[:]
    _forget(model.graph)
    for function in model.functions:
        _forget(function)
    onnx.save(model, path)


def _forget(graph: Any) -> None:
    """The same for a graph or function, with the graphs in its nodes."""
    parts = [graph, *graph.node, *graph.value_info]
    if isinstance(graph, onnx.GraphProto):
        parts += [*graph.input, *graph.output, *graph.initializer]
    for element in parts:
        del element.metadata_props[:]
        element.doc_string = ""
    for attribute in chain.from_iterable(node.attribute for node in graph.node):
        for inner in (attribute.g, *attribute.graphs) if attribute.HasField("g") else attribute.graphs:
            _forget(inner)


@contextmanager
def _quiet_exporter() -> Iterator[None]:
    """Silences the exporter's warnings about its internals and about packages that are not needed here."""
    quiet = ("torch.onnx", "onnxscript", "onnx_ir", "torch.export._trace")
    loggers = [logging.getLogger(name) for name in quiet]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)  # what goes wrong is raised
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels):
            logger.setLevel(level)
