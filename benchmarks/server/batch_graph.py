"""A bundle whose graph has a dynamic batch: layers whose weights are large beside one observation, as a head of a
vision-language-action model has them. One decision reads them all, and so does one run for eight."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from policy_server.graph_inputs import ImageInput, StateInput
from policy_server.manifest import PolicyManifest, write_bundle
from policy_server.manifest_parts import GraphFile
from robots.spec import CameraInput, ContinuousActions, PolicySpec, VectorSpec

SIDE, ROWS, WIDTH = 64, 8, 2048
NAMES = (*(f"joint_{number}" for number in range(1, 8)), "gripper")
ROW = VectorSpec(NAMES, ("rad",) * 7 + ("share",), (-3.0,) * 7 + (0.0,), (3.0,) * 7 + (1.0,))


def write_bundle_with_batch(folder: Path, layers: int = 6, *, state: bool = True) -> Path:
    """Writes the bundle: an image and the joints in, a chunk out, `layers` of 2048 x 2048 weights; returns `folder`."""
    vector = ROW if state else VectorSpec((), (), (), ())
    spec = PolicySpec(
        (CameraInput("outside", SIDE, SIDE, 42.0),), vector, ContinuousActions(ROW, ROWS, 0.05), 1000, 0.5
    )
    inputs = (ImageInput("outside", "outside"), *((StateInput("state"),) if state else ()))
    manifest = PolicyManifest("dynamic_batch", spec, {"policy": GraphFile("policy.onnx")}, inputs, output="actions")
    write_bundle(folder, manifest, {"policy.onnx": _graph(layers, state)})
    return folder


def _graph(layers: int, state: bool) -> bytes:
    from onnx import TensorProto, helper, numpy_helper

    random, last, size = np.random.default_rng(0), "features", SIDE * SIDE * 3 // 16 + (len(ROW) if state else 0)
    nodes: list[Any] = [
        helper.make_node("Cast", ["outside"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["pixels"], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node("AveragePool", ["planes"], ["pooled"], kernel_shape=[4, 4], strides=[4, 4]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("Mul", ["flat", "scale"], ["image"]),
        helper.make_node("Concat", ["image", "state"] if state else ["image"], ["features"], axis=1),
    ]
    weights: dict[str, npt.NDArray[Any]] = {
        "scale": np.array(1 / 255, np.float32),
        "shape": np.array([-1, ROWS, len(ROW)], np.int64),
    }
    for index, (width, out) in enumerate([(size, WIDTH), *[(WIDTH, WIDTH)] * layers, (WIDTH, ROWS * len(ROW))]):
        weights[f"w{index}"] = (random.standard_normal((width, out)) / np.sqrt(width)).astype(np.float32)
        nodes += [
            helper.make_node("MatMul", [last, f"w{index}"], [f"m{index}"]),
            helper.make_node("Tanh", [f"m{index}"], [f"t{index}"]),
        ]
        last = f"t{index}"
    nodes += [
        helper.make_node("Abs", [last], ["shares"]),
        helper.make_node("Reshape", ["shares", "shape"], ["actions"]),
    ]
    info = helper.make_tensor_value_info
    inputs = [info("outside", TensorProto.UINT8, ["batch", SIDE, SIDE, 3])]
    inputs += [info("state", TensorProto.FLOAT, ["batch", len(ROW)])] if state else []
    outputs = [info("actions", TensorProto.FLOAT, ["batch", ROWS, len(ROW)])]
    tensors = [numpy_helper.from_array(value, name) for name, value in weights.items()]
    graph = helper.make_graph(nodes, "dynamic_batch", inputs, outputs, tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return bytes(model.SerializeToString())
