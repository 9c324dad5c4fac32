"""The manifest is lossless JSON and is written last."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from bundles import tiny_manifest, write_tiny_bundle

from policy_server.errors import BundleError
from policy_server.manifest import PolicyManifest, SimulatedResult, sha256_of, write_bundle


def full_manifest() -> PolicyManifest:
    result = SimulatedResult("object_nav", "test", 100, 0.5, 0.4, 0.6, "greedy")
    manifest = tiny_manifest()
    provenance = replace(manifest.provenance, simulated=(result,), command="train")
    return replace(manifest, provenance=provenance, parity={"logits": 1e-6})


def test_json_round_trip_is_lossless() -> None:
    manifest = full_manifest()
    assert PolicyManifest.from_json(json.loads(json.dumps(manifest.to_json()))) == manifest


def test_an_unknown_schema_is_refused() -> None:
    with pytest.raises(BundleError, match="manifest schema: got 99, expected 1"):
        PolicyManifest.from_json({**full_manifest().to_json(), "schema": 99})


@pytest.mark.parametrize("field", ["name", "spec", "graphs", "tokenizer", "recurrent", "previous_action", "provenance"])
def test_a_missing_field_is_named(field: str) -> None:
    data = full_manifest().to_json()
    del data[field]
    with pytest.raises(BundleError, match=f"KeyError '{field}'; expected the fields of schema 1"):
        PolicyManifest.from_json(data)


def test_a_wrong_spec_is_named() -> None:
    data = full_manifest().to_json()
    data["spec"]["horizon"] = 0
    with pytest.raises(BundleError, match="horizon >= 1"):
        PolicyManifest.from_json(data)


def test_write_bundle_hashes_every_file(tmp_path: Path) -> None:
    manifest = write_tiny_bundle(tmp_path)
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
