"""Manifest of an exported policy: a lossless JSON file beside its ONNX graphs."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from policy_server.errors import BundleError
from policy_server.onnx_file import check_whole
from robots.errors import SpecError
from robots.spec import PolicySpec

SCHEMA = 1
MANIFEST_FILE = "manifest.json"


@dataclass(frozen=True)
class GraphFile:
    """One ONNX graph of a bundle: its file name in the bundle and the sha256 of its bytes in hexadecimal."""

    file: str
    sha256: str


@dataclass(frozen=True)
class RecurrentTensor:
    """State that a session carries from one decision to the next: `output` of one step is `input` of the next.

    `initial_shape` is the shape of its initial zeros, e.g. (layers, 1, heads, 0, head size) for an empty KV cache.
    """

    input: str
    output: str
    initial_shape: tuple[int, ...]
    dtype: str = "float32"


@dataclass(frozen=True)
class PreviousAction:
    """Tokens fed as the previous action: the executed action's index, or one of these.

    `start` at the first step; `blocked` if nothing was executed (a collision, a refusal). A policy without a `blocked`
    token (None) gets the action that was attempted.
    """

    start: int
    blocked: int | None = None


@dataclass(frozen=True)
class SimulatedResult:
    """Success in simulation under strict contact, with its 95 % Wilson interval, as fractions.

    `body` is the embodiment of the twin, `max_steps` the limit of an episode's decisions, 0 if unknown.
    """

    task: str
    split: str
    episodes: int
    success: float
    low: float
    high: float
    sampling: str
    body: str = "stretch_re1"
    max_steps: int = 0


@dataclass(frozen=True)
class Provenance:
    """Provenance of a policy.

    `source_sha256` is the hash of a released checkpoint that was imported, `left_out` the parts of it that are not in
    the bundle, with the reason; both are empty for a policy that was trained with Ferry.
    """

    git_commit: str
    config_sha256: str
    algorithm: str
    seed: int
    steps: int
    command: str = ""
    simulated: tuple[SimulatedResult, ...] = ()
    source_sha256: str = ""
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True)
class PolicyManifest:
    """Everything a server and a robot need to know about a policy.

    Graphs: "policy" takes, with batch 1, every camera by its name as (1, H, W, 3) uint8, `text_features` (1, L, D)
    float32, `state` (1, S) float32, `previous_action` (1,) int64, `step` (1,) int64 and the recurrent inputs; it gives
    `logits` (1, A) float32 and the recurrent outputs. That of a policy with continuous actions takes no previous action
    and gives `actions` (1, horizon, n) float32 in the units of its spec. Normalisation is inside the graph.
    "text" takes `token_ids` (1, L) int64 and gives `text_features`; it runs once per instruction. `tokenizer` is a
    Hugging Face tokenizers file.
    """

    name: str
    spec: PolicySpec
    graphs: Mapping[str, GraphFile]
    tokenizer: GraphFile
    recurrent: tuple[RecurrentTensor, ...]
    previous_action: PreviousAction
    provenance: Provenance
    tasks: tuple[str, ...] = ()
    parity: Mapping[str, float] = field(default_factory=dict)
    """Largest absolute difference between torch and onnxruntime seen at export, by output."""
    schema: int = SCHEMA

    def to_json(self) -> dict[str, Any]:
        """Returns plain JSON values; `from_json` returns an equal manifest."""
        return {**asdict(self), "spec": self.spec.to_json()}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> PolicyManifest:
        """Inverse of `to_json`; BundleError names the missing or wrong field."""
        if data.get("schema") != SCHEMA:
            raise BundleError(f"manifest schema: got {data.get('schema')!r}, expected {SCHEMA}")
        try:
            name = data["name"]
            if not isinstance(name, str) or not name.isprintable():
                raise BundleError(f"manifest name: got {name!r:.80}, expected printable text")
            provenance = dict(data["provenance"])
            provenance["simulated"] = tuple(SimulatedResult(**result) for result in provenance.get("simulated", ()))
            provenance["left_out"] = tuple(provenance.get("left_out", ()))
            return cls(
                name=name,
                spec=PolicySpec.from_json(data["spec"]),
                graphs={name: GraphFile(**graph) for name, graph in data["graphs"].items()},
                tokenizer=GraphFile(**data["tokenizer"]),
                recurrent=tuple(
                    RecurrentTensor(**{**tensor, "initial_shape": tuple(tensor["initial_shape"])})
                    for tensor in data["recurrent"]
                ),
                previous_action=PreviousAction(**data["previous_action"]),
                provenance=Provenance(**provenance),
                tasks=tuple(data.get("tasks", ())),
                parity=dict(data.get("parity", {})),
            )
        except (KeyError, TypeError, AttributeError, ValueError, OverflowError, RecursionError) as error:
            raise BundleError(
                f"manifest: {type(error).__name__} {error}; expected the fields of schema {SCHEMA}"
            ) from error
        except SpecError as error:
            raise BundleError(f"manifest: {error}") from error


def sha256_of(data: bytes) -> str:
    """Returns the SHA-256 of `data` in hexadecimal. That of manifest.json identifies the bundle."""
    return hashlib.sha256(data).hexdigest()


def write_bundle(folder: Path, manifest: PolicyManifest, files: Mapping[str, bytes] | None = None) -> PolicyManifest:
    """Writes `files`, hashes every file that `manifest` names, and writes manifest.json last, atomically.

    BundleError for a graph with external weights, which no hash would cover.
    The hashes in `manifest` may be empty. Returns the manifest that was written; a file it names must be in `files` or
    already in `folder`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in (files or {}).items():
        (folder / name).write_bytes(data)
    sealed = replace(
        manifest,
        graphs={name: _seal(folder, graph, is_graph=True) for name, graph in manifest.graphs.items()},
        tokenizer=_seal(folder, manifest.tokenizer),
    )
    temporary = folder / f".{MANIFEST_FILE}.part"
    temporary.write_text(json.dumps(sealed.to_json(), indent=2, allow_nan=False) + "\n", encoding="utf-8")
    os.replace(temporary, folder / MANIFEST_FILE)
    return sealed


def _seal(folder: Path, graph: GraphFile, *, is_graph: bool = False) -> GraphFile:
    path = folder / graph.file
    if not path.is_file():
        raise BundleError(f"{graph.file}: got no such file in {folder}, expected a file the manifest names")
    data = path.read_bytes()
    if is_graph:
        check_whole(graph.file, data, is_loaded=False)
    return GraphFile(graph.file, sha256_of(data))
