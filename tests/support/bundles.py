"""A tiny recurrent policy bundle with real ONNX graphs, for tests: `write_tiny_bundle(folder)`.

Its policy follows `script`, one action name per step, cyclically. Every input moves the logits a little, less than the
script does: the image means, the text, the state, the previous action and the growing recurrent state, which keeps one
entry (two numbers) of keys and of values per step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer, models, pre_tokenizers

from policy_server.graph_inputs import ImageInput, PreviousActionInput, StateInput, StepInput, TextInput
from policy_server.manifest import PolicyManifest, write_bundle
from policy_server.manifest_parts import GraphFile, Provenance, RecurrentTensor
from robots.embodiment import Embodiment
from robots.embodiments.stretch_re1 import SPOC_ACTIONS, STRETCH_RE1
from robots.observation import Observation
from robots.spec import CameraInput, PolicySpec, VectorSpec

HEIGHT, WIDTH, FOV_DEG = 84, 144, 59.0
FEATURES = 4
SCRIPT = ("move_ahead", "rotate_right", "move_ahead", "rotate_left")
WORDS = ("[UNK]", "go", "to", "find", "an", "a", "the", "apple", "bed", "chair", "sofa", "mug", "vase")
BAD = (
    "truncated",  # policy.onnx cut in half after it was hashed
    "corrupt",  # one byte of policy.onnx changed after it was hashed
    "missing",  # text.onnx is not there
    "no_manifest",
    "manifest",  # manifest.json is not JSON
    "garbage",  # policy.onnx is no ONNX, but its hash is right
    "input_name",  # the graph's camera is called "front"
    "image_size",  # the graph takes a smaller image than the manifest says
    "image_dtype",  # the graph takes float images
    "action_count",  # the graph gives one logit too few
    "tokenizer",  # tokenizer.json is no tokenizer, but its hash is right
)


def tiny_body(height: int = HEIGHT, width: int = WIDTH) -> Embodiment:
    """A Stretch RE1 whose cameras have the tiny policy's size, or another one of about its aspect ratio."""
    return STRETCH_RE1.with_cameras(*(replace(c, height=height, width=width) for c in STRETCH_RE1.cameras))


def write_tiny_bundle(
    folder: Path,
    *,
    script: Sequence[str] = SCRIPT,
    horizon: int = 200,
    control_period_s: float = 1.0,
    nan_at_step: int | None = None,
    work: int = 0,
    bad: str = "",
) -> PolicyManifest:
    """Writes manifest.json, policy.onnx, text.onnx and tokenizer.json into `folder`; returns the manifest.

    Args:
        folder: created when it is not there.
        script: action names the greedy policy chooses, step by step, from the start again after the last.
        horizon: decisions in the longest episode.
        control_period_s: time one decision is given [s].
        nan_at_step: at this step every logit is NaN.
        work: number of 1024 x 1024 matrix products per step, to make inference slow (about 10 to 30 ms each).
        bad: one of `BAD`; the bundle is then broken in that way.
    """
    assert not bad or bad in BAD, bad
    files = {
        "policy.onnx": _policy_graph(script, nan_at_step, work, bad),
        "text.onnx": _text_graph(),
        "tokenizer.json": _tokenizer(),
    }
    if bad == "garbage":
        files["policy.onnx"] = b"not a graph"
    if bad == "tokenizer":
        files["tokenizer.json"] = b"{}"
    manifest = write_bundle(folder, tiny_manifest(horizon, control_period_s), files)
    _break(folder, bad)
    return manifest


def tiny_manifest(horizon: int = 200, control_period_s: float = 1.0) -> PolicyManifest:
    """The tiny bundle's manifest before its files are hashed."""
    cameras = tuple(CameraInput(name, HEIGHT, WIDTH, FOV_DEG) for name in ("navigation", "manipulation"))
    state = VectorSpec(("in_hand",), ("bool",), (0.0,), (1.0,))
    recurrent = [RecurrentTensor(f"past_{n}", f"present_{n}", (1, 1, 1, 0, 2)) for n in ("keys", "values")]
    return PolicyManifest(
        name="tiny",
        spec=PolicySpec(cameras, state, SPOC_ACTIONS, horizon, control_period_s),
        graphs={"policy": GraphFile("policy.onnx"), "text": GraphFile("text.onnx")},
        inputs=(
            *(ImageInput(camera.name, camera.name) for camera in cameras),
            TextInput("text_features"),
            StateInput("state"),
            PreviousActionInput("previous_action", start=20, blocked=22),
            StepInput("step"),
        ),
        output="logits",
        tokenizer=GraphFile("tokenizer.json"),
        recurrent=tuple(recurrent),
        provenance=Provenance(git_commit="0" * 40, config_sha256="0" * 64, algorithm="script", seed=0, steps=0),
        tasks=("object_nav",),
    )


def _break(folder: Path, bad: str) -> None:
    policy = folder / "policy.onnx"
    data = policy.read_bytes()
    if bad == "truncated":
        policy.write_bytes(data[: len(data) // 2])
    elif bad == "corrupt":
        middle = len(data) // 2
        policy.write_bytes(data[:middle] + bytes([data[middle] ^ 0xFF]) + data[middle + 1 :])
    elif bad == "missing":
        (folder / "text.onnx").unlink()
    elif bad == "no_manifest":
        (folder / "manifest.json").unlink()
    elif bad == "manifest":
        (folder / "manifest.json").write_text("{", encoding="utf-8")


def _tokenizer() -> bytes:
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return bytes(tokenizer.to_str().encode())


def _text_graph() -> bytes:
    table = np.linspace(-1.0, 1.0, len(WORDS) * FEATURES, dtype=np.float32).reshape(len(WORDS), FEATURES)
    nodes = [helper.make_node("Gather", ["table", "token_ids"], ["text_features"])]
    inputs = [helper.make_tensor_value_info("token_ids", TensorProto.INT64, [1, "L"])]
    outputs = [helper.make_tensor_value_info("text_features", TensorProto.FLOAT, [1, "L", FEATURES])]
    return _model(nodes, inputs, outputs, {"table": table})


def _policy_graph(script: Sequence[str], nan_at_step: int | None, work: int, bad: str) -> bytes:
    camera = "front" if bad == "input_name" else "navigation"
    height = HEIGHT - 4 if bad == "image_size" else HEIGHT
    image_type = TensorProto.FLOAT if bad == "image_dtype" else TensorProto.UINT8
    count = len(SPOC_ACTIONS.names) - (bad == "action_count")
    constants = _constants(script, nan_at_step, count)
    steps = [
        ("Mod", ["step", "script_length"], "phase"),
        ("Gather", ["script", "phase"], "scripted"),  # (1, A)
        ("Gather", ["previous_table", "previous_action"], "previous_logits"),  # (1, A)
        *_mean("navigation_mean", camera),
        *_mean("manipulation_mean", "manipulation"),
        ("ReduceSum", ["text_features"], "text_sum"),  # (1, 1, 1)
        ("Reshape", ["text_sum", "one_by_one"], "text_logit"),
        ("Cast", ["previous_action"], "previous_float"),
        ("Reshape", ["previous_float", "one_by_one"], "previous_flat"),
        ("Div", ["previous_flat", "pixel_scale"], "previous_entry"),
        ("Concat:-1", ["navigation_mean", "previous_entry"], "key_entry"),
        ("Concat:-1", ["manipulation_mean", "state"], "value_entry"),
        ("Reshape", ["key_entry", "entry_shape"], "new_key"),
        ("Reshape", ["value_entry", "entry_shape"], "new_value"),
        ("Concat:3", ["past_keys", "new_key"], "present_keys"),
        ("Concat:3", ["past_values", "new_value"], "present_values"),
        ("ReduceSum", ["present_keys"], "key_sum"),
        ("Reshape", ["key_sum", "one_by_one"], "key_logit"),
        ("ReduceSum", ["present_values"], "value_sum"),
        ("Reshape", ["value_sum", "one_by_one"], "value_logit"),
        ("Concat:-1", ["navigation_mean", "text_logit", "key_logit", "value_logit"], "signals"),  # (1, 4)
        ("MatMul", ["signals", "signal_table"], "signal_logits"),
        *_work(work),
        ("Add", ["scripted", "previous_logits"], "partial"),
        ("Add", ["partial", "signal_logits"], "sum" if not work else "light_sum"),
        *([("Add", ["light_sum", "nothing"], "sum")] if work else []),
        ("Equal", ["step", "nan_step"], "is_nan_step"),
        ("Where", ["is_nan_step", "nan", "sum"], "logits"),
    ]
    if work:
        constants |= {"work_table": np.eye(1024, dtype=np.float32), "zero": np.zeros((1, 1), np.float32)}
    inputs = [
        helper.make_tensor_value_info(camera, image_type, [1, height, WIDTH, 3]),
        helper.make_tensor_value_info("manipulation", image_type, [1, height, WIDTH, 3]),
        helper.make_tensor_value_info("text_features", TensorProto.FLOAT, [1, "L", FEATURES]),
        helper.make_tensor_value_info("state", TensorProto.FLOAT, [1, 1]),
        helper.make_tensor_value_info("previous_action", TensorProto.INT64, [1]),
        helper.make_tensor_value_info("step", TensorProto.INT64, [1]),
        *(_recurrent(f"past_{name}", "T") for name in ("keys", "values")),
    ]
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, count])
    outputs = [logits, *(_recurrent(f"present_{name}", "U") for name in ("keys", "values"))]
    return _model([_node(*step) for step in steps], inputs, outputs, constants)


def _recurrent(name: str, length: str) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 1, 1, length, 2])


def _constants(script: Sequence[str], nan_at_step: int | None, count: int) -> dict[str, np.ndarray]:
    scripted = np.zeros((len(script), count), np.float32)
    scripted[np.arange(len(script)), [SPOC_ACTIONS.index(name) for name in script]] = 10.0
    rng = np.random.default_rng(0)
    return {
        "script": scripted,
        "script_length": np.array([len(script)], np.int64),
        "previous_table": rng.uniform(-0.5, 0.5, (23, count)).astype(np.float32),
        "signal_table": rng.uniform(-0.01, 0.01, (4, count)).astype(np.float32),
        "one_by_one": np.array([1, 1], np.int64),
        "entry_shape": np.array([1, 1, 1, 1, 2], np.int64),
        "pixel_scale": np.array([[255.0]], np.float32),
        "nan_step": np.array([-1 if nan_at_step is None else nan_at_step], np.int64),
        "nan": np.array([np.nan], np.float32),
    }


def _mean(name: str, camera: str) -> list[tuple[str, list[str], str]]:
    """The image's mean in [0, 1], shape (1, 1)."""
    return [
        ("Cast", [camera], f"{name}_pixels"),
        ("ReduceMean", [f"{name}_pixels"], f"{name}_all"),
        ("Reshape", [f"{name}_all", "one_by_one"], f"{name}_flat"),
        ("Div", [f"{name}_flat", "pixel_scale"], name),
    ]


def _work(products: int) -> list[tuple[str, list[str], str]]:
    """`products` matrix products that depend on the input and add nothing to the logits."""
    if not products:
        return []
    chain = [("Add", ["work_table", "navigation_mean"], "work_0")]
    chain += [("MatMul", [f"work_{i}", "work_table"], f"work_{i + 1}") for i in range(products)]
    total = [("ReduceMean", [f"work_{products}"], "work_mean"), ("Mul", ["work_mean", "zero"], "nothing")]
    return [*chain, *total]


def _node(operator: str, inputs: list[str], output: str) -> onnx.NodeProto:
    operator, _, axis = operator.partition(":")
    node = helper.make_node(operator, inputs, [output])
    if axis:
        node.attribute.append(helper.make_attribute("axis", int(axis)))
    if operator == "Cast":
        node.attribute.append(helper.make_attribute("to", TensorProto.FLOAT))
    return node


def _model(
    nodes: list[onnx.NodeProto],
    inputs: list[onnx.ValueInfoProto],
    outputs: list[onnx.ValueInfoProto],
    constants: dict[str, np.ndarray],
) -> bytes:
    tensors = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "tiny", inputs, outputs, tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def tiny_observation(stamp_ns: int = 0, brightness: int = 100, in_hand: float = 0.0) -> Observation:
    """What `tiny_body()` might see: two images of one grey, the hand empty or full."""
    images = {name: np.full((HEIGHT, WIDTH, 3), brightness, np.uint8) for name in ("navigation", "manipulation")}
    return Observation(stamp_ns, images, {"hand": np.array([in_hand], np.float32)})
