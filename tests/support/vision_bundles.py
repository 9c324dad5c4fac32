"""A hand-written ONNX policy that takes one image and nothing else, as somebody else would export it, for tests.

Its answer is a chunk of increments of the gripper's pose: `lift` upwards in each row, and to the side by the mean of
each colour of the image, after the normalisation that its exporter chose; the gripper is half open.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import onnx
from bundles import _model
from onnx import TensorProto, helper

ROWS, NUMBERS = 6, 7
SMALL = 1e-4
SIDE = np.array([0.004, -0.002, 0.001], np.float32)
"""Movement in y [m] per row for a mean of 1 in red, green and blue."""


def vision_graph(
    height: int, width: int, *, nchw: bool = True, floats: bool = True, lift: float = 0.01, extra: str = ""
) -> bytes:
    """Returns a graph with the input `pixels` and the output `chunk`.

    `extra` names a second input that moves every number a little: "noise" (1, ROWS, 7) or "ids" (1, L), token ids.
    """
    scale = 1.0 if floats else 255.0  # what a graph that takes uint8 does itself
    constants: dict[str, np.ndarray] = {
        "weights": np.outer(SIDE / scale, np.tile(np.eye(NUMBERS, dtype=np.float32)[1], ROWS)).astype(np.float32),
        "bias": np.tile(np.array([0, 0, lift, 0, 0, 0, 0.5], np.float32), ROWS)[None],
        "shape": np.array([1, ROWS, NUMBERS], np.int64),
    }
    nodes = [
        helper.make_node("Cast", ["pixels"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["floats"], ["means"], keepdims=0, axes=[2, 3] if nchw else [1, 2]),
        helper.make_node("MatMul", ["means", "weights"], ["sides"]),
        helper.make_node("Add", ["sides", "bias"], ["flat"]),
        helper.make_node("Reshape", ["flat", "shape"], ["rows" if extra else "chunk"]),
    ]
    shape = [1, 3, height, width] if nchw else [1, height, width, 3]
    kind = TensorProto.FLOAT if floats else TensorProto.UINT8
    inputs: list[onnx.ValueInfoProto] = [helper.make_tensor_value_info("pixels", kind, shape)]
    if extra:
        nodes += [
            helper.make_node("Cast", [extra], ["numbers"], to=TensorProto.FLOAT),
            *([helper.make_node("ReduceSum", ["numbers"], ["sum"], keepdims=0)] if extra == "ids" else []),
            helper.make_node("Mul", ["sum" if extra == "ids" else "numbers", "small"], ["shaken"]),
            helper.make_node("Add", ["rows", "shaken"], ["chunk"]),
        ]
        constants["small"] = np.array([SMALL], np.float32)
        form = (TensorProto.INT64, [1, "L"]) if extra == "ids" else (TensorProto.FLOAT, [1, ROWS, NUMBERS])
        inputs.append(helper.make_tensor_value_info(extra, *form))
    outputs = [helper.make_tensor_value_info("chunk", TensorProto.FLOAT, [1, ROWS, NUMBERS])]
    return _model(nodes, inputs, outputs, constants)


def expected_chunk(means: npt.NDArray[np.float32], lift: float = 0.01) -> npt.NDArray[np.float32]:
    """Returns the chunk (ROWS, 7) for the mean of each colour, as a fraction or normalised."""
    chunk = np.zeros((ROWS, NUMBERS), np.float32)
    chunk[:, 1], chunk[:, 2], chunk[:, 6] = float(means @ SIDE), lift, 0.5
    return chunk
