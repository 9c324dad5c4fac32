"""A bundle whose graph takes a batch of any size, for tests: `write_batch_bundle(folder)`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from bundles import FEATURES, _model, _text_graph, _tokenizer
from foreign_bundles import CAMERA_NAMES, NUMBERS, ROW, ROWS, SIDE
from onnx import TensorProto, helper

from policy_server.graph_inputs import ImageInput, StateInput, StepInput, TextInput
from policy_server.manifest import PolicyManifest, write_bundle
from policy_server.manifest_parts import GraphFile, RecurrentTensor
from robots.spec import CameraInput, ContinuousActions, PolicySpec

STEPS = 6
"""Steps that the graph has a number for: at the next one onnxruntime itself fails."""
POISONED = -2.5
"""First joint at which the answer is NaN."""
HORIZON = 20


def write_batch_bundle(
    folder: Path, *, fixed: bool = False, mixes: bool = False, work: int = 0, name: str = "small_batches"
) -> PolicyManifest:
    """Writes a policy for `foreign_bundles.arm` with a memory of one row, (batch, 8).

    The answer is the state, a ramp, the image, the memory and a number of the step; the memory follows the answer.

    Args:
        folder: created when it is not there.
        fixed: the batch is 1, as most exporters write it.
        mixes: the mean of all images of the batch is taken from each.
        work: number of 1024 x 1024 matrix products per run, however many requests it answers.
        name: of the policy.
    """
    cameras = tuple(CameraInput(camera, SIDE, SIDE, 42.0) for camera in CAMERA_NAMES)
    spec = PolicySpec(cameras, ROW, ContinuousActions(ROW, ROWS, 0.1, 2), HORIZON, 20.0)
    images = [ImageInput(camera, camera) for camera in CAMERA_NAMES]
    manifest = PolicyManifest(
        name=name,
        spec=spec,
        graphs={"policy": GraphFile("policy.onnx"), "text": GraphFile("text.onnx")},
        inputs=(*images, TextInput("text_features"), StateInput("state"), StepInput("step")),
        output="actions",
        tokenizer=GraphFile("tokenizer.json"),
        recurrent=(RecurrentTensor("memory", "next_memory", (1, NUMBERS)),),
        tasks=("find a mug",),
    )
    files = {"policy.onnx": _graph(1 if fixed else "batch", mixes, work), "text.onnx": _text_graph()}
    return write_bundle(folder, manifest, {**files, "tokenizer.json": _tokenizer()})


def _graph(batch: int | str, mixes: bool, work: int) -> bytes:
    constants: dict[str, np.ndarray] = {
        "ramp": 0.01 * np.arange(1, ROWS + 1, dtype=np.float32).reshape(1, ROWS, 1),
        "scale": np.array([0.1 / 255], np.float32),
        "tenth": np.array([0.1], np.float32),
        "zero": np.array([0.0], np.float32),
        "nan": np.array([np.nan], np.float32),
        "poison": np.array([POISONED], np.float32),
        "first": np.array([0], np.int64),
        "as_rows": np.array([-1, 1, NUMBERS], np.int64),
        "as_column": np.array([-1, 1, 1], np.int64),
        "step_table": np.linspace(0.0, 0.05, STEPS, dtype=np.float32),
        "work_table": np.eye(1024, dtype=np.float32),
    }
    nodes: list[Any] = [helper.make_node("Mul", ["work_table", "work_in"], ["work_0"])]
    nodes += [helper.make_node("MatMul", [f"work_{i}", "work_table"], [f"work_{i + 1}"]) for i in range(work)]
    nodes = [
        helper.make_node("Cast", ["outside"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("Cast", ["wrist"], ["wrist_pixels"], to=TensorProto.FLOAT),
        helper.make_node("Add", ["pixels", "wrist_pixels"], ["both"]),
        helper.make_node("ReduceMean", ["both"], ["means"], keepdims=0, axes=[1, 2, 3]),
        helper.make_node("ReduceMean", ["means"], ["work_in"], keepdims=0),
        *nodes,
        helper.make_node("ReduceMax", [f"work_{work}"], ["worked"], keepdims=0),
        helper.make_node("Mul", ["worked", "zero"], ["nothing"]),
        helper.make_node("ReduceSum", ["text_features"], ["words"], keepdims=0),
        helper.make_node("Mul", ["words", "zero"], ["no_words"]),
        helper.make_node("Sub", ["means", "work_in" if mixes else "nothing"], ["own_means"]),
        helper.make_node("Mul", ["own_means", "scale"], ["seen"]),
        helper.make_node("Gather", ["step_table", "step"], ["step_number"]),
        helper.make_node("Add", ["seen", "step_number"], ["numbers"]),
        helper.make_node("Reshape", ["numbers", "as_column"], ["column"]),
        helper.make_node("Mul", ["memory", "tenth"], ["remembered"]),
        helper.make_node("Add", ["state", "remembered"], ["row"]),
        helper.make_node("Reshape", ["row", "as_rows"], ["one_row"]),
        helper.make_node("Add", ["one_row", "ramp"], ["ramped"]),
        helper.make_node("Add", ["ramped", "column"], ["placed"]),
        helper.make_node("Add", ["placed", "no_words"], ["worded"]),
        helper.make_node("Gather", ["state", "first"], ["joint"], axis=1),
        helper.make_node("Equal", ["joint", "poison"], ["is_poisoned"]),
        helper.make_node("Reshape", ["is_poisoned", "as_column"], ["poisoned_column"]),
        helper.make_node("Where", ["poisoned_column", "nan", "worded"], ["actions"]),
        helper.make_node("ReduceMean", ["worded"], ["next_memory"], keepdims=0, axes=[1]),
    ]
    info = helper.make_tensor_value_info
    shape = [batch, SIDE, SIDE, 3]
    inputs = [info(camera, TensorProto.UINT8, shape) for camera in CAMERA_NAMES]
    inputs += [
        info("text_features", TensorProto.FLOAT, [batch, "L", FEATURES]),
        info("state", TensorProto.FLOAT, [batch, NUMBERS]),
        info("step", TensorProto.INT64, [batch]),
        info("memory", TensorProto.FLOAT, [batch, NUMBERS]),
    ]
    outputs = [
        info("actions", TensorProto.FLOAT, [batch, ROWS, NUMBERS]),
        info("next_memory", TensorProto.FLOAT, [batch, NUMBERS]),
    ]
    return _model(nodes, inputs, outputs, constants)
