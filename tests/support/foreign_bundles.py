"""A small bundle without memory for an arm with 7 joints and a gripper: image, state and words in, a chunk out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
from bundles import FEATURES, _model, _text_graph, _tokenizer
from onnx import TensorProto, helper

from policy_server.graph_inputs import ImageInput, StateInput, StepInput, TextInput
from policy_server.manifest import PolicyManifest, write_bundle
from policy_server.manifest_parts import GraphFile
from robots.embodiment import Embodiment, JointLimits
from robots.observation import Observation
from robots.spec import CameraInput, CameraSpec, ContinuousActions, PolicySpec, VectorSpec

SIDE, ROWS, NUMBERS = 16, 4, 8
JOINTS = tuple(f"joint_{number}" for number in range(1, 8))
NAMES = (*JOINTS, "gripper")
UNITS = ("rad",) * 7 + ("share",)
ROW = VectorSpec(NAMES, UNITS, (-3.0,) * 7 + (0.0,), (3.0,) * 7 + (1.0,))
CAMERA_NAMES = ("outside", "wrist")
POISON = 7
"""Mean of the wrist's image at which the answer is NaN."""


def arm() -> Embodiment:
    """The arm: two cameras of `SIDE` pixels, its joints, and chunks of `ROW`."""
    cameras = tuple(CameraSpec(name, SIDE, SIDE, 42.0) for name in CAMERA_NAMES)
    joints = {name: JointLimits(-3.0, 3.0, 1.0) for name in JOINTS}
    return Embodiment("small_arm", cameras, {"joints": ROW}, {}, joints, chunks=(ROW,))


def seen(stamp_ns: int = 1, grey: int = 51, joint: float = 0.5, wrist: int = 0) -> Observation:
    """What the arm sees and feels: grey images, every joint at one angle, the gripper a quarter open."""
    images = {"outside": np.full((SIDE, SIDE, 3), grey, np.uint8), "wrist": np.full((SIDE, SIDE, 3), wrist, np.uint8)}
    images["outside"][..., 2] = 0  # blue and red differ
    state = np.array([joint] * 7 + [0.25], np.float32)
    return Observation(stamp_ns, images, {"joints": state})


def expected(grey: int = 51, joint: float = 0.5, rows: int = ROWS) -> npt.NDArray[np.float32]:
    """What the bundle answers to `seen`: the state, plus 0.01 per row, plus a tenth of the red channel's mean."""
    state = np.array([joint] * 7 + [0.25], np.float32)
    chunk = np.tile(state, (rows, 1)) + 0.01 * np.arange(1, rows + 1, dtype=np.float32)[:, None]
    return (chunk + np.float32(0.1 * grey / 255)).astype(np.float32)


def write_arm_bundle(
    folder: Path,
    *,
    rows: int = ROWS,
    work: int = 0,
    has_step: bool = False,
    horizon: int = 50,
    one_camera: bool = False,
    lift: float = 0.0,
) -> PolicyManifest:
    """Writes the bundle.

    Args:
        folder: created when it is not there.
        rows: of a chunk.
        work: number of 1024 x 1024 matrix products per decision, to make inference slow.
        has_step: the graph takes the step's number, so that episodes must not be mixed.
        horizon: decisions in an episode.
        one_camera: it takes the image of the outside camera alone, and no state.
        lift: added to every number of every answer.
    """
    names = CAMERA_NAMES[:1] if one_camera else CAMERA_NAMES
    cameras = tuple(CameraInput(name, SIDE, SIDE, 42.0) for name in names)
    state = VectorSpec((), (), (), ()) if one_camera else ROW
    spec = PolicySpec(cameras, state, ContinuousActions(ROW, rows, 0.1, max(1, rows // 2)), horizon, 20.0)
    inputs = [*(ImageInput(name, name) for name in names), TextInput("text_features")]
    inputs += [StateInput("state")] if not one_camera else []
    inputs += [StepInput("step")] if has_step else []
    manifest = PolicyManifest(
        name="small_arm_policy",
        spec=spec,
        graphs={"policy": GraphFile("policy.onnx"), "text": GraphFile("text.onnx")},
        inputs=tuple(inputs),
        output="actions",
        tokenizer=GraphFile("tokenizer.json"),
        tasks=("find a mug",),
    )
    graph = _graph(names, rows, work, has_step, not one_camera, lift)
    files = {"policy.onnx": graph, "text.onnx": _text_graph(), "tokenizer.json": _tokenizer()}
    return write_bundle(folder, manifest, files)


def _graph(cameras: tuple[str, ...], rows: int, work: int, has_step: bool, has_state: bool, lift: float = 0.0) -> bytes:
    steps = lift + 0.01 * np.arange(1, rows + 1, dtype=np.float32).reshape(1, rows, 1)
    steps = steps.astype(np.float32)
    constants: dict[str, np.ndarray] = {
        "ramp": np.broadcast_to(steps, (1, rows, NUMBERS)).copy(),
        "red": np.array([[0.1 / 255], [0.0], [0.0]], np.float32),
        "zero": np.array([0.0], np.float32),
        "poison": np.array([POISON], np.float32),
        "nan": np.array([np.nan], np.float32),
        "one": np.array([1, 1, NUMBERS if has_state else 1], np.int64),
        "work_table": np.eye(1024, dtype=np.float32),
    }
    last = "work_start"  # not constant, lest the optimiser computes it once
    nodes = [
        helper.make_node("ReduceSum", ["text_features"], ["words"], keepdims=0),
        helper.make_node("Mul", ["words", "zero"], ["idle_words"]),
        helper.make_node("Add", ["work_table", "idle_words"], ["work_start"]),
    ]
    for number in range(work):
        nodes.append(helper.make_node("MatMul", [last, "work_table"], [f"work_{number}"]))
        last = f"work_{number}"
    nodes += [
        helper.make_node("ReduceMax", [last], ["worked"], keepdims=0),
        helper.make_node("Mul", ["worked", "zero"], ["nothing"]),
        helper.make_node("Cast", [cameras[0]], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["pixels"], ["means"], keepdims=0, axes=[1, 2]),
        helper.make_node("MatMul", ["means", "red"], ["redness"]),  # (1, 1)
        helper.make_node("Add", ["ramp", "redness"], ["moved"]),
        helper.make_node("Add", ["moved", "nothing"], ["idle"]),
    ]
    answer = "idle"
    if has_state:
        nodes += [
            helper.make_node("Reshape", ["state", "one"], ["state_row"]),
            helper.make_node("Add", ["idle", "state_row"], ["placed"]),
        ]
        answer = "placed"
    if len(cameras) > 1:
        nodes += [
            helper.make_node("Cast", [cameras[1]], ["wrist_pixels"], to=TensorProto.FLOAT),
            helper.make_node("ReduceMean", ["wrist_pixels"], ["wrist_mean"], keepdims=0),
            helper.make_node("Equal", ["wrist_mean", "poison"], ["is_poison"]),
            helper.make_node("Where", ["is_poison", "nan", answer], ["maybe"]),
        ]
        answer = "maybe"
    if has_step:
        nodes += [helper.make_node("Cast", ["step"], ["count"], to=TensorProto.FLOAT)]
        nodes += [helper.make_node("Mul", ["count", "zero"], ["no_count"])]
        nodes += [helper.make_node("Add", [answer, "no_count"], ["counted"])]
        answer = "counted"
    nodes.append(helper.make_node("Identity", [answer], ["actions"]))
    shape = [1, SIDE, SIDE, 3]
    inputs = [helper.make_tensor_value_info(name, TensorProto.UINT8, shape) for name in cameras]
    inputs.append(helper.make_tensor_value_info("text_features", TensorProto.FLOAT, [1, "L", FEATURES]))
    if has_state:
        inputs.append(helper.make_tensor_value_info("state", TensorProto.FLOAT, [1, NUMBERS]))
    if has_step:
        inputs.append(helper.make_tensor_value_info("step", TensorProto.INT64, [1]))
    outputs = [helper.make_tensor_value_info("actions", TensorProto.FLOAT, [1, rows, NUMBERS])]
    return _model(nodes, inputs, outputs, constants)
