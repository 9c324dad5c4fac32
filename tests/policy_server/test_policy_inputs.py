"""Inputs by role: what of an observation reaches a graph that somebody else exported, and in which form."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import onnx
import pytest
from bundles import WORDS, _tokenizer, tiny_body, tiny_observation, write_tiny_bundle
from servers import serving
from vision_bundles import ROWS, SMALL, expected_chunk, vision_graph

from policy_server.bundle import PolicyBundle
from policy_server.client import PolicyClient
from policy_server.errors import BundleError, WireError
from policy_server.graph_inputs import ImageInput, NoiseInput, StepInput, TextInput
from policy_server.images.image_codec import encode_image
from policy_server.manifest import PolicyManifest, write_bundle
from policy_server.manifest_parts import GraphFile
from policy_server.onnx_policy import OnnxPolicy
from robots.arms.action_chunks import cartesian_delta
from robots.embodiment import Embodiment
from robots.observation import Observation
from robots.spec import EMPTY_VECTOR, CameraInput, CameraSpec, ContinuousActions, PolicySpec

HEIGHT, WIDTH = 24, 32
VECTOR = cartesian_delta(0.05, 0.3)
ARM = Embodiment("arm", (CameraSpec("scene", HEIGHT, WIDTH, 45.0),), {}, {}, {}, chunks=(VECTOR,))
IMAGE = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
SEEN = Observation(5, {"scene": IMAGE})
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def manifest(*inputs: Any, tokenizer: GraphFile | None = None) -> PolicyManifest:
    actions = ContinuousActions(VECTOR, ROWS, 0.1, execute_rows=2)
    spec = PolicySpec((CameraInput("scene", HEIGHT, WIDTH, 45.0),), EMPTY_VECTOR, actions, 50, 0.5)
    return PolicyManifest("theirs", spec, {"policy": GraphFile("model.onnx")}, inputs, "chunk", tokenizer)


def write(folder: Path, graph: bytes, *inputs: Any) -> PolicyBundle:
    write_bundle(folder, manifest(*inputs), {"model.onnx": graph})
    return PolicyBundle.load(folder, threads=1)


FORMS: Mapping[str, tuple[dict[str, bool], ImageInput, np.ndarray]] = {
    "uint8, NHWC": ({"nchw": False, "floats": False}, ImageInput("pixels", "scene"), IMAGE / 255),
    "uint8, NCHW": ({"nchw": True, "floats": False}, ImageInput("pixels", "scene", "NCHW"), IMAGE / 255),
    "0 to 1, NHWC": ({"nchw": False}, ImageInput("pixels", "scene", dtype="float32"), IMAGE / 255),
    "ImageNet's, NCHW": (
        {"nchw": True},
        ImageInput("pixels", "scene", "NCHW", "float32", MEAN, STD),
        (IMAGE / 255 - MEAN) / STD,
    ),
}


@pytest.mark.parametrize("form", FORMS)
def test_an_image_reaches_the_graph_in_the_form_it_declares(tmp_path: Path, form: str) -> None:
    options, one, seen = FORMS[form]
    bundle = write(tmp_path, vision_graph(HEIGHT, WIDTH, **options), one)
    bundle.warm_up()
    chunk = OnnxPolicy(bundle).open(ARM, "").act(SEEN).chunk
    np.testing.assert_allclose(chunk, expected_chunk(seen.mean((0, 1)).astype(np.float32)), rtol=1e-4, atol=1e-6)


def test_a_vision_only_policy_is_served_with_nothing_but_its_image(tmp_path: Path) -> None:
    bundle = write(tmp_path, vision_graph(HEIGHT, WIDTH, floats=False), ImageInput("pixels", "scene", "NCHW"))
    here = OnnxPolicy(bundle).open(ARM, "").act(SEEN)
    with serving(tmp_path) as url:
        with PolicyClient(url, timeout_s=20) as client, client.open(ARM, "") as session:
            for step in range(2):
                there = session.act(SEEN)
                assert there.step == step
                np.testing.assert_array_equal(there.chunk, here.chunk)
            assert client.manifest() == bundle.manifest
        with httpx.Client(base_url=url, timeout=20) as http:  # as curl would
            opened = http.post("/v1/sessions", json={"embodiment": ARM.to_json()}).raise_for_status().json()
            assert (opened["execute_rows"], opened["state"], opened["actions"]) == (2, {}, list(VECTOR.names))
            for _ in range(2):  # the second without `executed`
                files = {"scene": encode_image(IMAGE, "png")}
                path = f"/v1/sessions/{opened['session_id']}/act"
                reply = http.post(path, data={"observation": '{"stamp_ns": 5}'}, files=files)
                np.testing.assert_allclose(reply.raise_for_status().json()["chunk"], here.chunk, rtol=1e-6)


def renamed(data: bytes) -> bytes:
    """The graph with "their_" before the name of every input and output."""
    model = onnx.load_from_string(data)
    ports = [*model.graph.input, *model.graph.output]
    names = {port.name: f"their_{port.name}" for port in ports}
    for port in ports:
        port.name = names[port.name]
    for node in model.graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
    return bytes(model.SerializeToString())


def test_the_names_of_inputs_and_outputs_are_free(tmp_path: Path) -> None:
    """Also those of state, previous action, step and recurrent state, and of the text graph."""
    ours = write_tiny_bundle(tmp_path / "ours")
    theirs = replace(
        ours,
        inputs=tuple(replace(one, name=f"their_{one.name}") for one in ours.inputs),
        output="their_logits",
        recurrent=tuple(
            replace(one, input=f"their_{one.input}", output=f"their_{one.output}") for one in ours.recurrent
        ),
    )
    files = {path.name: path.read_bytes() for path in (tmp_path / "ours").iterdir() if path.name != "manifest.json"}
    files = {name: renamed(data) if name.endswith(".onnx") else data for name, data in files.items()}
    write_bundle(tmp_path / "theirs", theirs, files)
    one, other = (
        OnnxPolicy(PolicyBundle.load(tmp_path / name, threads=1)).open(tiny_body(), "find a mug")
        for name in ("ours", "theirs")
    )
    for step in range(3):
        executed = "move_back" if step else None
        expected, got = one.act(tiny_observation(), executed), other.act(tiny_observation(), executed)
        np.testing.assert_array_equal(got.probabilities, expected.probabilities)


def test_noise_is_new_at_each_step_and_repeats_with_the_seed(tmp_path: Path) -> None:
    graph = vision_graph(HEIGHT, WIDTH, floats=False, extra="noise")
    inputs = (ImageInput("pixels", "scene", "NCHW"), NoiseInput("noise", (1, ROWS, 7)))
    policy = OnnxPolicy(write(tmp_path, graph, *inputs))

    def chunks(seed: int) -> list[Any]:
        episode = policy.open(ARM, "", seed=seed)
        return [episode.act(SEEN).chunk for _ in range(2)]

    once, again, other = chunks(1), chunks(1), chunks(2)
    np.testing.assert_array_equal(once, again)
    assert not np.array_equal(once[0], once[1])
    assert not np.array_equal(once[0], other[0])


def test_a_policy_may_take_token_ids_itself(tmp_path: Path) -> None:
    """One graph for images and words, as a vision-language-action model is exported: no text graph."""
    inputs = (ImageInput("pixels", "scene", "NCHW"), TextInput("ids", "tokens"))
    files = {"model.onnx": vision_graph(HEIGHT, WIDTH, floats=False, extra="ids"), "words.json": _tokenizer()}
    write_bundle(tmp_path, manifest(*inputs, tokenizer=GraphFile("words.json")), files)
    bundle = PolicyBundle.load(tmp_path, threads=1)
    bundle.warm_up()
    policy, plain = OnnxPolicy(bundle), expected_chunk((IMAGE / 255).mean((0, 1)).astype(np.float32))
    for words in ("find a mug", "find an apple"):
        ids = sum(WORDS.index(word) for word in words.split())
        np.testing.assert_allclose(policy.open(ARM, words).act(SEEN).chunk, plain + ids * SMALL, rtol=1e-3, atol=1e-6)
    with pytest.raises(WireError, match="instruction: got 0 tokens"):
        policy.open(ARM, "")


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ((ImageInput("image", "scene"),), r"model\.onnx inputs: got pixels, expected image"),
        ((ImageInput("pixels", "scene"),), r"'pixels': got uint8 \(1, 3, 24, 32\), expected uint8 \(1, 24, 32, 3\)"),
        ((ImageInput("pixels", "scene", "NCHW", "float32"),), r"'pixels': got uint8 .+, expected float32"),
        ((ImageInput("pixels", "scene", "NCHW"), StepInput("t")), r"inputs: got pixels, expected pixels, t"),
    ],
)
def test_a_graph_with_other_inputs_than_declared_is_refused(
    tmp_path: Path, inputs: tuple[Any, ...], message: str
) -> None:
    with pytest.raises(BundleError, match=message):
        write(tmp_path, vision_graph(HEIGHT, WIDTH, floats=False), *inputs)
