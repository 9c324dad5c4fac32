"""A bundle may come from anywhere: it is loaded or refused in one line, and nothing beside it counts."""

from __future__ import annotations

import contextlib
import json
import os
import re
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
from bundles import tiny_manifest, write_tiny_bundle
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from policy_server.bundle import PolicyBundle
from policy_server.errors import BundleError
from policy_server.files.bundle_files import line
from policy_server.files.onnx_file import check_whole
from policy_server.manifest import PolicyManifest, sha256_of, write_bundle
from policy_server.serve import main


def fifo(folder: Path) -> Path:
    (folder / "text.onnx").unlink()
    os.mkfifo(folder / "text.onnx")
    return folder


def endless(folder: Path) -> Path:
    (folder / "tokenizer.json").unlink()
    (folder / "tokenizer.json").symlink_to("/dev/zero")
    return folder


def nested(folder: Path) -> Path:
    (folder / "manifest.json").write_text("[" * 100_000)
    return folder


def huge_tokenizer(folder: Path) -> Path:
    with (folder / "tokenizer.json").open("wb") as file:
        file.truncate(88 * 2**20)
    return folder


def zipped(folder: Path, name: str = "", data: bytes = b"") -> Path:
    path = folder / "bundle.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for one in ("manifest.json", "policy.onnx", "text.onnx", "tokenizer.json"):
            archive.writestr(one, data if one == name else (folder / one).read_bytes())
    return path


def zip_bomb(folder: Path) -> Path:
    return zipped(folder, "policy.onnx", bytes(256 * 2**20))


def encrypted(folder: Path) -> Path:
    path = zipped(folder)
    data = bytearray(path.read_bytes())
    for sign, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        for at in [found.start() for found in re.finditer(re.escape(sign), bytes(data))]:
            data[at + flags] |= 1
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("make", [fifo, endless, nested, huge_tokenizer, zip_bomb, encrypted], ids=lambda f: f.__name__)
def test_a_hostile_bundle_is_one_line_and_code_2(
    tmp_path: Path, make: Callable[[Path], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    write_tiny_bundle(tmp_path)
    path = make(tmp_path)
    tracemalloc.start()
    assert main([str(path)]) == 2
    assert tracemalloc.get_traced_memory()[1] < 64 * 2**20
    tracemalloc.stop()
    text = capsys.readouterr().err
    assert text.startswith("ferry serve: ")
    assert "expected" in text
    assert text.count("\n") == 1


def model_with_outside_weights(place: str, location: str) -> bytes:
    """A graph that adds one number, which is the first four bytes of the file `location`."""
    tensor = TensorProto(name="weight", data_type=TensorProto.FLOAT, dims=[1], data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value=location)
    value = [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])]
    inner = helper.make_node("Constant", [], ["y"], value=tensor)
    if place == "initializer":
        graph = helper.make_graph([helper.make_node("Identity", ["weight"], ["y"])], "g", [], value, [tensor])
    elif place == "constant":
        graph = helper.make_graph([inner], "g", [], value)
    else:
        branch = helper.make_graph([inner], "branch", [], value)
        choice = helper.make_node("If", ["is"], ["y"], then_branch=branch, else_branch=branch)
        condition = [helper.make_tensor_value_info("is", TensorProto.BOOL, [1])]
        graph = helper.make_graph([choice], "g", condition, value)
    model: bytes = helper.make_model(graph, ir_version=9).SerializeToString()
    return model


@pytest.mark.parametrize("place", ["initializer", "constant", "subgraph"])
def test_weights_in_another_file_are_refused_by_name(
    tmp_path: Path, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "README.md").write_bytes(bytes(64))
    monkeypatch.chdir(tmp_path)
    graph = model_with_outside_weights(place, "README.md")
    with pytest.raises(BundleError, match=r"policy\.onnx: got the weights of 'weight' in another file"):
        write_bundle(
            tmp_path / "sealed", tiny_manifest(), {"policy.onnx": graph, "text.onnx": b"", "tokenizer.json": b""}
        )
    for name in ("policy", "text"):
        folder = tmp_path / name
        write_tiny_bundle(folder)
        (folder / f"{name}.onnx").write_bytes(graph)
        data = json.loads((folder / "manifest.json").read_text())
        data["graphs"][name]["sha256"] = sha256_of(graph)
        (folder / "manifest.json").write_text(json.dumps(data))
        with pytest.raises(BundleError, match=rf"{name}\.onnx: got the weights of 'weight' in another file"):
            PolicyBundle.load(folder)


def test_a_whole_graph_is_whole(tmp_path: Path) -> None:
    write_tiny_bundle(tmp_path)
    data = (tmp_path / "policy.onnx").read_bytes()
    check_whole("policy.onnx", data)
    onnx.load_from_string(data)
    for length in range(1, len(data), 97):
        with contextlib.suppress(BundleError):
            check_whole("policy.onnx", data[:length])


def test_a_long_reason_keeps_its_end() -> None:
    output = line(
        ValueError("Load model failed " + "where " * 200 + "\n Unsupported IR version: 14, max supported: 13\x1b[2J")
    )
    assert output.endswith("Unsupported IR version: 14, max supported: 13?[2J")
    assert len(output) < 410


JUNK = st.sampled_from(
    [None, True, -1, 0, 1.5, 10**400, float("nan"), "", "a\x1b]0;b", [], [1], {}, {"a": 1}, [[]] * 3]
)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_any_manifest_is_read_or_refused(data: st.DataObject) -> None:
    manifest = json.loads(json.dumps(tiny_manifest().to_json()))
    where = manifest
    while True:
        name = data.draw(st.sampled_from(sorted(where) if isinstance(where, dict) else range(len(where))))
        if isinstance(where[name], (dict, list)) and where[name] and data.draw(st.booleans()):
            where = where[name]
            continue
        where[name] = data.draw(JUNK)
        break
    with contextlib.suppress(BundleError):
        assert PolicyManifest.from_json(manifest).name.isprintable()
