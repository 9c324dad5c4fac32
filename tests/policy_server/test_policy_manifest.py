"""The manifest is lossless JSON and is written last."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from bundles import tiny_manifest, write_tiny_bundle

from policy_server.errors import BundleError
from policy_server.graph_inputs import ImageInput, NoiseInput, StepInput, TextInput
from policy_server.manifest import PolicyManifest, sha256_of, write_bundle
from policy_server.manifest_parts import GraphFile, SimulatedResult
from robots.spec import ContinuousActions, VectorSpec


def full_manifest() -> PolicyManifest:
    result = SimulatedResult("object_nav", "test", 100, 0.5, 0.4, 0.6, "greedy")
    manifest = tiny_manifest()
    provenance = replace(manifest.provenance, simulated=(result,), command="train")
    return replace(manifest, provenance=provenance, parity={"logits": 1e-6})


def test_json_round_trip_is_lossless() -> None:
    manifest = full_manifest()
    assert PolicyManifest.from_json(json.loads(json.dumps(manifest.to_json()))) == manifest


def schema_1() -> dict[str, Any]:
    """The tiny manifest as schema 1 had it."""
    data = full_manifest().to_json()
    return {**without(data, "inputs", "output"), "previous_action": {"start": 20, "blocked": 22}, "schema": 1}


def without(data: dict[str, Any], *fields: str) -> dict[str, Any]:
    return {name: value for name, value in data.items() if name not in fields}


def test_a_manifest_of_schema_1_says_the_same() -> None:
    assert PolicyManifest.from_json(json.loads(json.dumps(schema_1()))) == full_manifest()


@pytest.mark.parametrize("schema", [99, None, True, "2", []])
def test_an_unknown_schema_is_refused(schema: object) -> None:
    with pytest.raises(BundleError, match=r"manifest: schema: got .+, expected 1 or 2"):
        PolicyManifest.from_json({**full_manifest().to_json(), "schema": schema})


@pytest.mark.parametrize("field", ["name", "spec", "graphs", "tokenizer", "recurrent", "previous_action", "provenance"])
def test_a_missing_field_of_schema_1_is_named(field: str) -> None:
    with pytest.raises(BundleError, match=f"manifest: got no '{field}', expected '{field}' among the keys"):
        PolicyManifest.from_json(without(schema_1(), field))


@pytest.mark.parametrize("field", ["name", "spec", "graphs", "inputs", "output"])
def test_a_missing_field_is_named(field: str) -> None:
    with pytest.raises(BundleError, match=f"manifest: got no '{field}', expected '{field}' among the keys"):
        PolicyManifest.from_json(without(full_manifest().to_json(), field))


WRONG_INPUTS: list[tuple[dict[str, Any], str]] = [
    ({"name": "x"}, r"inputs\[0\]: got no 'role', expected 'role' among the keys"),
    (
        {"role": "smell", "name": "x"},
        r"inputs\[0\]\.role: got 'smell', expected one of image, text, state, previous_act",
    ),
    ({"role": "image", "name": "x"}, r"inputs\[0\]: got no 'camera'"),
    ({"role": "image", "name": "x", "camera": "y", "layot": "NCHW"}, r"\.layot: got an unknown key.*mean 'layout'"),
    ({"role": "image", "name": "x", "camera": "front"}, r"inputs\[0\]\.camera: got 'front', expected one of spec\.cam"),
    ({"role": "image", "name": "x", "camera": "navigation", "layout": "HWC"}, r"\.layout: got 'HWC', expected one of"),
    ({"role": "image", "name": "x", "camera": "navigation", "std": [1, 1, 1]}, r"'x' mean, std: .*or dtype float32"),
    (
        {"role": "image", "name": "x", "camera": "navigation", "dtype": "float32", "std": [1, 0, 1]},
        r"'x' std: got \(1\.0, 0\.0, 1\.0\), expected three numbers above 0",
    ),
    ({"role": "image", "name": "navigation", "camera": "navigation"}, "inputs: got name 'navigation' twice"),
    ({"role": "image", "name": "past_keys", "camera": "navigation"}, "inputs: got name 'past_keys' twice"),
    ({"role": "step", "name": "time"}, "inputs: got role 'step' twice"),
    ({"role": "noise", "name": "x", "shape": [1, 0]}, r"'x' shape: got \(1, 0\), expected sizes from 1"),
]


@pytest.mark.parametrize(("one", "message"), WRONG_INPUTS)
def test_a_wrong_input_is_named(one: dict[str, Any], message: str) -> None:
    data = full_manifest().to_json()
    with pytest.raises(BundleError, match=message):
        PolicyManifest.from_json({**data, "inputs": [one, *data["inputs"]]})


def test_what_the_graph_does_not_take_must_not_be_asked_of_a_robot() -> None:
    manifest = tiny_manifest()
    kept = manifest.inputs[1:]
    with pytest.raises(BundleError, match=r"spec\.cameras: got navigation that no input of role image takes"):
        replace(manifest, inputs=kept)
    with pytest.raises(BundleError, match="inputs: got none of role state"):
        replace(manifest, inputs=tuple(one for one in manifest.inputs if one.role != "state"))


def test_text_needs_its_parts_and_nothing_else_does() -> None:
    manifest = tiny_manifest()
    blind = tuple(one for one in manifest.inputs if one.role != "text")
    graphs = {"policy": GraphFile("policy.onnx")}
    with pytest.raises(BundleError, match="tokenizer: got a tokenizer without an input of role text"):
        replace(manifest, inputs=blind)
    with pytest.raises(BundleError, match="tokenizer: got no tokenizer with an input of role text"):
        replace(manifest, tokenizer=None)
    with pytest.raises(BundleError, match="graphs: got the graph 'text' among"):
        replace(manifest, inputs=blind, tokenizer=None)
    with pytest.raises(BundleError, match="graphs: got the graph 'text' among"):
        replace(manifest, inputs=(*blind, TextInput("ids", "tokens")))
    assert replace(manifest, inputs=blind, tokenizer=None, graphs=graphs).text is None
    assert replace(manifest, inputs=(*blind, TextInput("ids", "tokens")), graphs=graphs).text is not None


def test_a_chunk_has_no_previous_action() -> None:
    manifest = tiny_manifest()
    chunks = ContinuousActions(VectorSpec(("x",), ("m",), (0.0,), (1.0,)), 4, 0.1)
    with pytest.raises(BundleError, match="inputs: got role previous_action with chunks"):
        replace(manifest, spec=replace(manifest.spec, actions=chunks))


def test_a_flow_policy_survives_json() -> None:
    manifest = tiny_manifest()
    camera = manifest.spec.cameras[0]
    chunks = ContinuousActions(VectorSpec(("x",), ("m",), (0.0,), (1.0,)), 4, 0.1, execute_rows=2)
    spec = replace(manifest.spec, cameras=(camera,), state=VectorSpec((), (), (), ()), actions=chunks)
    image = ImageInput("pixels", camera.name, "NCHW", "float32", (0.5, 0.5, 0.5), (0.2, 0.2, 0.2))
    inputs = (image, NoiseInput("noise", (1, 4, 1)), StepInput("k"))
    flow = PolicyManifest("flow", spec, {"policy": GraphFile("flow.onnx")}, inputs, "actions")
    assert PolicyManifest.from_json(json.loads(json.dumps(flow.to_json()))) == flow


def test_a_wrong_spec_is_named() -> None:
    data = full_manifest().to_json()
    data["spec"]["horizon"] = 0
    with pytest.raises(BundleError, match="horizon >= 1"):
        PolicyManifest.from_json(data)


def test_write_bundle_hashes_every_file(tmp_path: Path) -> None:
    manifest = write_tiny_bundle(tmp_path)
    assert manifest.tokenizer is not None
    for graph in (*manifest.graphs.values(), manifest.tokenizer):
        assert graph.sha256 == sha256_of((tmp_path / graph.file).read_bytes())
    assert PolicyManifest.from_json(json.loads((tmp_path / "manifest.json").read_bytes())) == manifest
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "manifest.json",
        "policy.onnx",
        "text.onnx",
        "tokenizer.json",
    ]


def test_write_bundle_without_a_file_leaves_no_manifest(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"text\.onnx: got no such file"):
        write_bundle(tmp_path, tiny_manifest(), {"policy.onnx": b"1", "tokenizer.json": b"2"})
    assert not (tmp_path / "manifest.json").exists()
