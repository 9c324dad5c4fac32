"""A bundle is checked file by file, and says which one is wrong."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from bundles import BAD, FEATURES, tiny_observation, write_tiny_bundle

from policy_server.bundle import PolicyBundle
from policy_server.errors import BundleError, WireError
from policy_server.graph_inputs import StepValues
from policy_server.manifest import sha256_of

EXPECTED = {
    "truncated": r"policy\.onnx: got \d+ bytes with sha256 \w+, expected sha256 \w+ as in manifest\.json",
    "corrupt": r"policy\.onnx: got \d+ bytes with sha256 \w+, expected sha256 \w+ as in manifest\.json",
    "missing": r"text\.onnx: got No such file or directory in .+, expected the file",
    "no_manifest": r"manifest\.json: got No such file or directory",
    "manifest": r"manifest\.json: got no JSON .+, expected a policy manifest",
    "garbage": r"policy\.onnx: got '.+', expected a graph that onnxruntime loads",
    "input_name": r"policy\.onnx inputs: got front, .+, expected .+ navigation",
    "image_size": r"inputs 'navigation': got uint8 \(1, 80, 144, 3\), expected uint8 \(1, 84, 144, 3\)",
    "image_dtype": r"inputs 'navigation': got float32 \(1, 84, 144, 3\), expected uint8 \(1, 84, 144, 3\)",
    "action_count": r"outputs 'logits': got float32 \(1, 19\), expected float32 \(1, 20\)",
    "tokenizer": r"tokenizer\.json: got '.+', expected a Hugging Face tokenizers file",
}


@pytest.mark.parametrize("bad", BAD)
def test_a_bad_bundle_is_named(tmp_path: Path, bad: str) -> None:
    write_tiny_bundle(tmp_path, bad=bad)
    with pytest.raises(BundleError, match=EXPECTED[bad]) as error:
        PolicyBundle.load(tmp_path)
    assert error.value.code == "bundle"


def test_loading_checks_and_names_the_bundle(tmp_path: Path) -> None:
    manifest = write_tiny_bundle(tmp_path)
    bundle = PolicyBundle.load(tmp_path, threads=1)
    assert bundle.manifest == manifest
    assert bundle.sha256 == sha256_of((tmp_path / "manifest.json").read_bytes())
    bundle.warm_up()


def zipped(folder: Path, archive: Path) -> Path:
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as target:
        for path in sorted(folder.iterdir()):
            target.write(path, path.name)
    return archive


def test_a_zip_is_the_same_bundle(tmp_path: Path) -> None:
    write_tiny_bundle(tmp_path / "folder")
    archive = zipped(tmp_path / "folder", tmp_path / "bundle.zip")
    assert PolicyBundle.load(archive).sha256 == PolicyBundle.load(tmp_path / "folder").sha256


def test_a_zip_without_a_file_names_it(tmp_path: Path) -> None:
    write_tiny_bundle(tmp_path / "folder", bad="missing")
    archive = zipped(tmp_path / "folder", tmp_path / "bundle.zip")
    with pytest.raises(BundleError, match=r"text\.onnx: got no such file in .+bundle\.zip"):
        PolicyBundle.load(archive)


def test_a_damaged_zip_is_named(tmp_path: Path) -> None:
    write_tiny_bundle(tmp_path / "folder")
    archive = zipped(tmp_path / "folder", tmp_path / "bundle.zip")
    data = bytearray(archive.read_bytes())
    data[80:120] = bytes(40)
    archive.write_bytes(data)
    with pytest.raises(BundleError, match=r"manifest\.json: got a damaged zip"):
        PolicyBundle.load(archive)


def test_a_path_that_is_no_bundle_is_named(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="got no such file or folder"):
        PolicyBundle.load(tmp_path / "nothing")
    (tmp_path / "text").write_text("hello")
    with pytest.raises(BundleError, match="got a file that is not a zip"):
        PolicyBundle.load(tmp_path / "text")


def test_a_folder_of_bundles_lists_them(tmp_path: Path) -> None:
    for name in ("second", "first"):
        write_tiny_bundle(tmp_path / name)
    listed = f"expected one of them: {tmp_path / 'first'}, {tmp_path / 'second'}"
    with pytest.raises(BundleError, match=f"got a folder of bundles, {re.escape(listed)}$"):
        PolicyBundle.load(tmp_path)


@pytest.mark.parametrize("name", ["../policy.onnx", "/etc/passwd", "a/b", "a\\b"])
def test_a_manifest_cannot_name_files_elsewhere(tmp_path: Path, name: str) -> None:
    write_tiny_bundle(tmp_path)
    data = json.loads((tmp_path / "manifest.json").read_text())
    data["graphs"]["policy"]["file"] = name
    (tmp_path / "manifest.json").write_text(json.dumps(data))
    with pytest.raises(BundleError, match="expected a name without a folder"):
        PolicyBundle.load(tmp_path)


@pytest.mark.parametrize(("text", "message"), [("[]", "got list, expected a JSON object"), ("{}", "schema: got None")])
def test_a_manifest_that_is_none(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(BundleError, match=message):
        PolicyBundle.load(tmp_path)


def test_a_missing_graph_is_named(tmp_path: Path) -> None:
    write_tiny_bundle(tmp_path)
    data = json.loads((tmp_path / "manifest.json").read_text())
    del data["graphs"]["text"]
    (tmp_path / "manifest.json").write_text(json.dumps(data))
    with pytest.raises(BundleError, match=r"graphs: got no graph 'text' among \['policy'\]"):
        PolicyBundle.load(tmp_path)


def test_text_features_depend_on_the_words(tmp_path: Path) -> None:
    write_tiny_bundle(tmp_path)
    bundle = PolicyBundle.load(tmp_path)
    mug, apple = bundle.encode_text("find a mug", 8), bundle.encode_text("find a apple", 8)
    assert mug is not None
    assert apple is not None
    assert mug.shape == apple.shape == (1, 3, FEATURES)
    assert not np.array_equal(mug, apple)


@pytest.mark.parametrize(("instruction", "count"), [("", 0), ("find a mug", 3)])
def test_the_number_of_tokens_is_limited(tmp_path: Path, instruction: str, count: int) -> None:
    write_tiny_bundle(tmp_path)
    bundle = PolicyBundle.load(tmp_path)
    with pytest.raises(WireError, match=f"instruction: got {count} tokens, expected 1 to 2 tokens"):
        bundle.encode_text(instruction, 2)


def test_the_recurrent_state_grows_and_matters(tmp_path: Path) -> None:
    write_tiny_bundle(tmp_path)
    bundle = PolicyBundle.load(tmp_path)
    images, state = dict(tiny_observation().images), np.zeros(1, np.float32)
    features = bundle.encode_text("find a mug", 8)
    fresh = bundle.initial_state()
    values = StepValues(images, state, features, 20, 0)
    first, grown = bundle.run(values, fresh)
    assert first.shape == (20,)
    assert grown["past_keys"].shape == (1, 1, 1, 1, 2)
    second, _ = bundle.run(values, grown)
    assert not np.array_equal(first, second)


def test_nothing_about_this_computer_is_kept_for_onnxruntimes_maker(tmp_path: Path) -> None:
    """Without the variable that policy_server sets, its import writes an identifier and a database of events."""
    environment = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    environment |= {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    subprocess.run([sys.executable, "-c", "import policy_server.bundle"], env=environment, check=True, timeout=60)
    assert not list(tmp_path.rglob("*"))
