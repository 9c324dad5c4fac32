"""What a training or an evaluation begins from: a checkpoint, or a bundle that was exported from one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnx

from policy_server.bundle import PolicyBundle
from policy_server.errors import BundleError
from policy_server.files.bundle_files import MAX_GRAPH_BYTES, MAX_MANIFEST_BYTES, reader
from policy_server.manifest import MANIFEST_FILE, PolicyManifest, sha256_of
from training.bundles.parity import compare
from training.bundles.weights import read_weights
from training.data.recording import random_recording
from training.errors import CheckpointError, ExportError
from training.models.config import PRESETS, PolicyConfig
from training.models.spoc import SpocPolicy
from training.models.tokenizer import TABLE_ROWS, tokenizer_for
from training.runtime.checkpoint import file_sha256, load, policy_payload

STEPS = 4
"""Steps on which the network that was read is compared with the bundle; of noise, in half a second."""
INSTEAD = "begin from the checkpoint that it was exported from (best.pt)"


def is_bundle(path: Path) -> bool:
    """Whether a path is a bundle, or a folder of bundles, rather than a checkpoint's file."""
    return path.suffix == ".zip" or any(any(path.glob(f"{folder}{MANIFEST_FILE}")) for folder in ("", "*/"))


def load_policy(path: Path) -> dict[str, Any]:
    """Reads a policy's checkpoint, or a bundle as if it were one: of its policy alone, without critic and optimiser.

    Raises:
        CheckpointError: the file is missing, damaged or of another kind, or the bundle is of another network than ours.
    """
    if path.suffix == ".onnx":
        raise CheckpointError(f"{path}: got a graph alone, expected its bundle's folder, with {MANIFEST_FILE}")
    if not is_bundle(path):
        return load(path, "policy")
    try:
        bundle = PolicyBundle.load(path, threads=1)
        read = reader(path)
        files = {name: read(graph.file, MAX_GRAPH_BYTES) for name, graph in bundle.manifest.graphs.items()}
    except BundleError as error:
        raise _refused(path, error) from error
    policy = SpocPolicy(_config_of(bundle, path), TABLE_ROWS).requires_grad_(False)
    graphs = {name: onnx.load_model_from_string(data).graph for name, data in files.items()}
    try:
        read_weights(policy, graphs, path)
        compare(policy, bundle, random_recording(bundle.manifest.spec, "find a mug", steps=STEPS))
    except (CheckpointError, ExportError) as error:
        raise _refused(path, error, f"; {INSTEAD}") from error
    return _payload(policy, bundle)


def start_sha256(path: Path) -> str:
    """Computes what identifies a start: the SHA-256 of a checkpoint's file, or of a bundle's manifest.

    Raises:
        CheckpointError: there is none.
    """
    if not is_bundle(path):
        return file_sha256(path)
    try:
        return sha256_of(reader(path)(MANIFEST_FILE, MAX_MANIFEST_BYTES))
    except BundleError as error:
        raise _refused(path, error) from error


def _refused(path: Path, error: Exception, hint: str = "") -> CheckpointError:
    return CheckpointError(f"{path}: {str(error).removeprefix(f'{path}: ')}{hint}")


def _config_of(bundle: PolicyBundle, path: Path) -> PolicyConfig:
    """Returns the configuration of the size that a bundle is of; one that takes nothing from other files."""
    manifest = bundle.manifest
    sizes = [config for config in PRESETS.values() if (config.image.kind, config.text.kind) == ("cnn", "words")]
    fitting = [config for config in sizes if _fits(config, manifest)]
    if not fitting or bundle.tokenizer is None or "text" not in manifest.graphs:
        sizes_known = ", ".join(config.name for config in sizes)
        got = f"a bundle with other inputs, actions or memory ({manifest.name})"
        expected = f"one that `ferry export` made of {sizes_known}"
        raise CheckpointError(f"{path}: got {got}, expected {expected}; {INSTEAD}, where `ferry train` can read it")
    words = tokenizer_for(fitting[0].text).get_vocab()
    other = sorted(word for word, row in bundle.tokenizer.get_vocab().items() if words.get(word) != row)
    if other:
        raise CheckpointError(f"{path}: got '{other[0]}' in another row of the table of words; {INSTEAD}")
    return fitting[0]


def _fits(config: PolicyConfig, manifest: PolicyManifest) -> bool:
    layers, heads, size = config.decoder_layers, config.decoder_heads, config.width // config.decoder_heads
    shapes = [tensor.initial_shape for tensor in manifest.recurrent]
    previous, tokens = manifest.previous_action, config.tokens
    return (
        manifest.spec == config.spec()
        and shapes == [(layers, 1, heads, 0, size)] * 2
        and previous is not None
        and (previous.start, previous.blocked) == (tokens.start, tokens.blocked)
    )


def _payload(policy: SpocPolicy, bundle: PolicyBundle) -> dict[str, Any]:
    """What a checkpoint of the policy has, as far as the manifest knows it; the bundle is its origin."""
    manifest = bundle.manifest
    known = manifest.provenance
    return {
        **policy_payload(policy),
        "algorithm": known.algorithm,
        "seed": known.seed,
        "steps": known.steps,
        "tasks": list(manifest.tasks),
        "looks": known.looks,
        "git_commit": known.git_commit,
        "command": known.command,
        "origin": {
            "release": manifest.name,
            "file": MANIFEST_FILE,
            "sha256": bundle.sha256,
            "steps": known.steps,
            "left_out": list(known.left_out),
        },
    }
