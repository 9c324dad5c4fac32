"""A manifest written by hand: manifest.json's own keys in YAML, without hashes and without what can be left out."""

from __future__ import annotations

from pathlib import Path

from policy_server.errors import BundleError, ContractError
from policy_server.files.onnx_file import check_whole
from policy_server.manifest import PolicyManifest
from policy_server.yaml_lines import LinedDict, read_yaml
from robots.errors import SpecError
from robots.structure import Place, build

POLICY, TEXT, TOKENIZER = "policy.onnx", "text.onnx", "tokenizer.json"
FILES = ("text_graph", "tokenizer")
"""Keys whose values are files beside the YAML file."""


def read_written(file: Path, graph: Path) -> tuple[PolicyManifest, dict[str, bytes]]:
    """Returns the manifest in `file` for the ONNX file `graph`, and the bundle's files.

    ContractError names file, line, got and expected; BundleError a graph that cannot be bundled, OSError a file that
    cannot be read.
    """
    data, place = read_yaml(file, ContractError.at, "a contract"), Place(file.name, error=ContractError.at)
    if not isinstance(data, LinedDict):
        raise place.wrong(type(data).__name__, "a mapping with name, spec, inputs and output")
    for key in ("graphs", "schema"):
        if key in data:
            raise place.key(data, key).wrong(f"'{key}'", "no such key: it is filled in here")
    files = {POLICY: graph.read_bytes()}
    check_whole(graph.name, files[POLICY], is_loaded=False)
    written = LinedDict({name: value for name, value in data.items() if name not in FILES})
    written.lines = data.lines
    written["graphs"] = {"policy": {"file": POLICY}}
    for key, name in zip(FILES, (TEXT, TOKENIZER)):
        if key in data:
            files[name] = _beside(file, data[key], place.key(data, key))
    if TEXT in files:
        written["graphs"]["text"] = {"file": TEXT}
    if TOKENIZER in files:
        written["tokenizer"] = {"file": TOKENIZER}
    try:
        manifest: PolicyManifest = build(PolicyManifest, written, place)
    except (SpecError, BundleError) as error:
        raise ContractError(f"{file.name}: {error}") from error
    return manifest, files


def _beside(file: Path, name: object, place: Place) -> bytes:
    if not isinstance(name, str):
        raise place.wrong(type(name).__name__, "the name of a file")
    path = file.parent / name
    if not path.is_file():
        raise place.wrong(f"no file {path}", "a file beside this one")
    return path.read_bytes()
