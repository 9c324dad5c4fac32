"""A bundle whose answers depend on the number of threads of an inference, by rounding."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from bundles import write_tiny_bundle
from onnx import TensorProto, helper, numpy_helper

from policy_server.manifest import write_bundle


def write_threaded_bundle(folder: Path) -> None:
    """The tiny bundle, with a sum in its logits that onnxruntime adds up in another order with other threads."""
    manifest = write_tiny_bundle(folder, horizon=100_000, control_period_s=10.0)
    model = onnx.load(folder / "policy.onnx")
    for node in model.graph.node:
        node.output[:] = ["plain" if name == "logits" else name for name in node.output]
    count = model.graph.output[0].type.tensor_type.shape.dim[-1].dim_value
    rows = 84 * 144 * 3 // (2 * count)
    constants: dict[str, npt.NDArray[Any]] = {
        "flat": np.array([-1], np.int64),
        "first": np.array([0], np.int64),
        "last": np.array([2 * rows * count], np.int64),
        "shape": np.array([2, rows, count], np.int64),
        "times": np.array([1, 40, 1], np.int64),
        "axes": np.array([1], np.int64),
        "scale": np.array([1e-6], np.float32),
    }
    nodes = [
        helper.make_node("Cast", ["navigation"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("Sqrt", ["pixels"], ["roots"]),
        helper.make_node("Reshape", ["roots", "flat"], ["line"]),
        helper.make_node("Slice", ["line", "first", "last"], ["even"]),
        helper.make_node("Reshape", ["even", "shape"], ["rows"]),
        helper.make_node("Tile", ["rows", "times"], ["many"]),
        helper.make_node("ReduceSum", ["many", "axes"], ["sums"], keepdims=0),
        helper.make_node("Gather", ["sums", "first"], ["one_sum"], axis=0),
        helper.make_node("Mul", ["one_sum", "scale"], ["small"]),
        helper.make_node("Add", ["plain", "small"], ["logits"]),
    ]
    model.graph.node.extend(nodes)
    model.graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in constants.items())
    files = {name: (folder / name).read_bytes() for name in ("text.onnx", "tokenizer.json")}
    write_bundle(folder, manifest, {"policy.onnx": model.SerializeToString(), **files})
