"""`ferry bundle`: an ONNX graph and a contract written by hand; what does not fit is reported in words."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from bundles import write_tiny_bundle
from vision_bundles import vision_graph

from policy_server.authoring.main import main
from policy_server.authoring.probing import add_probes
from policy_server.bundle import PolicyBundle
from policy_server.errors import BundleError, ContractError
from policy_server.files.probes import Probes
from policy_server.manifest import PolicyManifest, write_bundle

YAML = """
name: lifter
spec:
  cameras:
    - {name: scene, height: 24, width: 32, vertical_fov_deg: 42.0}
  state: {names: [], units: [], low: [], high: []}
  actions:
    kind: continuous
    vector:
      names: [delta_x, delta_y, delta_z, delta_rx, delta_ry, delta_rz, gripper]
      units: [m, m, m, rad, rad, rad, share]
      low: [-0.05, -0.05, -0.05, -0.5, -0.5, -0.5, 0.0]
      high: [0.05, 0.05, 0.05, 0.5, 0.5, 0.5, 1.0]
    horizon: 6
    period_s: 0.1
    execute_rows: 2
  horizon: 200
  control_period_s: 20.0
inputs:
  - {role: image, name: pixels, camera: scene, layout: NCHW, dtype: float32}
output: chunk
"""


@pytest.fixture
def graph(tmp_path: Path) -> Path:
    path = tmp_path / "model.onnx"
    path.write_bytes(vision_graph(24, 32))
    return path


def bundle(graph: Path, text: str = YAML, *words: str) -> int:
    contract = graph.parent / "contract.yaml"
    contract.write_text(text)
    return main([str(graph), str(contract), "--output", str(graph.parent / "bundle"), "--threads", "1", *words])


def test_a_graph_and_its_contract_become_a_bundle(graph: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert bundle(graph) == 0
    made = PolicyBundle.load(graph.parent / "bundle", threads=1)
    assert made.sha256[:12] in capsys.readouterr().out
    assert (made.manifest.name, made.manifest.spec.actions.kind) == ("lifter", "continuous")
    with pytest.raises(BundleError, match="got a folder with a bundle"):
        bundle(graph)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("camera: scene", "camera: scenes", "got 'scenes', expected one of spec.cameras: scene"),
        ("role: image", "role: images", "contract.yaml:20: inputs.0..role: got 'images'.*did you mean 'image'"),
        ("name: lifter", "names: lifter", "contract.yaml:2.*an unknown key.*did you mean 'name'"),
        ("output: chunk", "output: chunk\ngraphs: {}", "graphs: got 'graphs', expected no such key"),
        ("execute_rows: 2", "execute_rows: 7", "execute_rows: got 7, expected 1 to 6"),
        ("output: chunk", "output: chunk\ntokenizer: none.json", "tokenizer: got no file"),
    ],
)
def test_a_wrong_contract_is_reported_by_its_line(graph: Path, old: str, new: str, words: str) -> None:
    assert old in YAML
    with pytest.raises(ContractError, match=words):
        bundle(graph, YAML.replace(old, new))
    assert not (graph.parent / "bundle").exists()


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("name: pixels", "name: image", "inputs: got pixels, expected image"),
        ("layout: NCHW", "layout: NHWC", "'pixels': got float32 .1, 3, 24, 32., expected float32 .1, 24, 32, 3."),
        ("horizon: 6", "horizon: 5", "outputs 'chunk': got float32 .1, 6, 7., expected float32 .1, 5, 7."),
    ],
)
def test_a_graph_that_is_not_as_the_contract_says_is_reported(graph: Path, old: str, new: str, words: str) -> None:
    with pytest.raises(BundleError, match=words):
        bundle(graph, YAML.replace(old, new))
    assert not (graph.parent / "bundle").exists()


@pytest.mark.parametrize(
    ("lift", "words"),
    [
        (30.0, "answer 'delta_z': got 30 to 30.* m .100 % outside., expected .-0.05, 0.05.: are they millimetres?"),
        (0.9, "answer 'delta_z': got 0.9 to 0.9.* m .100 % outside.*: are they "),
        (float("nan"), "answer: NaN or infinity for 8 of 8 random observations"),
    ],
)
def test_answers_out_of_range_are_reported_in_words(
    graph: Path, lift: float, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    graph.write_bytes(vision_graph(24, 32, lift=lift))
    assert bundle(graph) == 1
    out = capsys.readouterr().out
    assert re.search(words, out), out
    assert not (graph.parent / "bundle").exists()
    assert bundle(graph, YAML, "--keep") == 0
    assert (graph.parent / "bundle" / "manifest.json").is_file()


def test_degrees_and_a_blind_policy_are_worth_a_look(graph: Path, capsys: pytest.CaptureFixture[str]) -> None:
    graph.write_bytes(vision_graph(24, 32, floats=False))  # which weighs pixels of 0 to 255 as the normalised ones here
    degrees = YAML.replace("low: [-0.05, -0.05, -0.05, -0.5", "low: [-0.05, -0.05, -0.05, -180")
    text = degrees.replace(", dtype: float32", "").replace("name: lifter", "name: turner")
    assert bundle(graph, text) == 0
    out = capsys.readouterr().out
    assert "look at: action 'delta_rx': got bounds [-180, 0.5] rad: are they degrees?" in out
    assert "camera" not in out
    far = graph.parent / "far"
    far.mkdir()
    blind = far / "model.onnx"
    blind.write_bytes(vision_graph(24, 32))
    tiny = YAML.replace("dtype: float32", "dtype: float32, mean: [0.5, 0.5, 0.5], std: [1.0e+9, 1.0e+9, 1.0e+9]")
    assert bundle(blind, tiny) == 0
    assert "look at: camera 'scene': another image does not change the answer" in capsys.readouterr().out


def test_a_server_replays_the_probes_and_refuses_to_serve_other_answers(graph: Path) -> None:
    assert bundle(graph) == 0
    folder = graph.parent / "bundle"
    made = PolicyBundle.load(folder, threads=1)
    assert made.probes is not None
    assert [probe.values.step for probe in made.probes.steps] == [0, 1, 2]
    made.warm_up()
    other = vision_graph(24, 32, lift=0.012)  # the same form, other weights, and a manifest that says so
    manifest = write_bundle(folder, made.manifest, {"policy.onnx": other})
    assert manifest.probes == made.manifest.probes
    with pytest.raises(BundleError, match=r"probe at step 0: got an answer that differs by 0\.002") as error:
        PolicyBundle.load(folder, threads=1).warm_up()
    assert error.value.code == "probes"
    (folder / "probes.msgpack").write_bytes(b"\xc1")
    with pytest.raises(BundleError, match=r"probes\.msgpack: got 1 bytes with sha256"):
        PolicyBundle.load(folder, threads=1)


def test_probes_carry_a_memory_from_step_to_step(tmp_path: Path) -> None:
    write_tiny_bundle(tmp_path)
    before = PolicyBundle.load(tmp_path, threads=1)
    assert "probes" not in before.document
    add_probes(tmp_path, "find a mug", threads=1)
    with_probes = PolicyBundle.load(tmp_path, threads=1)
    with_probes.warm_up()
    assert with_probes.sha256 != before.sha256
    assert PolicyManifest.from_json(with_probes.document) == with_probes.manifest


@pytest.mark.parametrize("data", [b"", b"\xc1", b"\x80", b"\x82\xabinstruction\xa1x\xa5steps\x05"])
def test_a_file_that_has_no_probes_is_reported(data: bytes) -> None:
    with pytest.raises(BundleError, match="expected probes"):
        Probes.from_bytes(data)
