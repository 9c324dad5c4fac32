"""`ferry export`: writes a checkpoint as a policy bundle; writes nothing if its outputs differ from torch's."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import tyro

from policy_server.bundle import PolicyBundle
from policy_server.errors import BundleError
from policy_server.graph_inputs import GraphInput, ImageInput, PreviousActionInput, StateInput, StepInput, TextInput
from policy_server.manifest import MANIFEST_FILE, PolicyManifest, write_bundle
from policy_server.manifest_parts import GraphFile, Provenance, RecurrentTensor, SimulatedResult
from simulation.episode import LOOKS
from simulation.tasks.object_nav import TASK
from training.bundles.parity import TOLERANCE, compare
from training.data.recording import Recording, record_episode
from training.errors import ExportError
from training.export.onnx_graphs import INPUTS, OUTPUTS, write_policy_graph, write_text_graph
from training.models.config import config_hash
from training.models.spoc import SpocPolicy
from training.models.tokenizer import tokenizer_for
from training.runtime.checkpoint import load, policy_from
from training.runtime.commit import git_commit

GRAPHS = {"policy": GraphFile("policy.onnx"), "text": GraphFile("text.onnx")}


@dataclass(frozen=True)
class ExportOptions:
    """Writes a checkpoint as a policy bundle: ONNX graphs, tokenizer and manifest.

    A vision-language-action checkpoint has other options: `ferry export --checkpoint FILE --help`.
    """

    checkpoint: Path
    """A policy's checkpoint, e.g. runs/mini/bc/best.pt."""
    out: Path
    """Folder to write; an existing bundle in it is replaced."""
    name: str = ""
    """Name of the bundle; by default that of the policy's size."""
    results: tuple[Path, ...] = ()
    """JSON files of `ferry train evaluate`, for the provenance."""
    task: tuple[str, ...] = ()
    """Tasks in the manifest; by default those that the checkpoint was trained for."""
    body: str = ""
    """Robot of the recorded episode; by default the one that the checkpoint was trained with."""
    tolerance: float = TOLERANCE
    """Largest accepted difference to torch."""
    steps: int = 60
    """Length of the recorded episode of the parity check."""


def main(argv: Sequence[str]) -> int:
    """Runs `ferry export`."""
    options = tyro.cli(ExportOptions, args=list(argv), prog="ferry export")
    payload = load(options.checkpoint, "policy")
    policy = policy_from(payload, options.checkpoint)
    tasks, body = trained_for(payload)
    tasks, body = options.task or tasks, options.body or body
    spec, tokens = policy.config.spec(), policy.config.tokens
    provenance = provenance_of(payload, [read_result(path, options.checkpoint) for path in options.results])
    recording = record_episode(spec, tokens, steps=options.steps, task=tasks[0], body=body, looks=provenance.looks)
    manifest = export(
        policy, options.out, recording, provenance, name=options.name, tasks=tasks, tolerance=options.tolerance
    )
    size = sum(file.stat().st_size for file in options.out.iterdir()) / 1e6
    worst = max(manifest.parity.values())
    compared = f"{len(recording.steps)} steps compared, largest difference {worst:.1e}"
    print(f"{options.out}: {manifest.name}, {size:.1f} MB, {compared}")
    return 0


def export(
    policy: SpocPolicy,
    folder: Path,
    recording: Recording,
    provenance: Provenance,
    *,
    name: str = "",
    tasks: Sequence[str] = (TASK,),
    tolerance: float = TOLERANCE,
) -> PolicyManifest:
    """Writes `policy` as a bundle into `folder`, atomically, once its outputs along `recording` match torch's.

    Raises:
        ExportError: onnxruntime and torch differ, the recording is empty, or `folder` has other files.
    """
    if not recording.steps:
        raise ExportError("recording: got 0 steps, expected at least 1 to compare along")

    def make(made: Path) -> PolicyManifest:
        manifest = write_files(policy, made, provenance, name or policy.config.name, tasks)
        return replace(manifest, parity=compare(policy, load_made(made), recording, tolerance))

    return put(folder, make)


def put(folder: Path, make: Callable[[Path], PolicyManifest]) -> PolicyManifest:
    """Puts a bundle into `folder`, atomically: `make` writes its files into another, and returns the manifest to write.

    Raises:
        ExportError: `folder` has other files, or what `make` raises.
    """
    if folder.exists() and any(folder.iterdir()) and not (folder / MANIFEST_FILE).is_file():
        raise ExportError(f"{folder}: got a folder with other files, expected a bundle, an empty folder or none")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as temporary:
        made = Path(temporary) / "bundle"
        manifest = write_bundle(made, make(made))
        _put(made, folder, Path(temporary) / "old")
    return manifest


def write_files(
    policy: SpocPolicy, folder: Path, provenance: Provenance, name: str, tasks: Sequence[str] = (TASK,)
) -> PolicyManifest:
    """Writes graphs, tokenizer and manifest into a new folder, without the parity check."""
    folder.mkdir(parents=True)
    policy.eval()
    write_policy_graph(policy, folder / GRAPHS["policy"].file)
    write_text_graph(policy, folder / GRAPHS["text"].file)
    tokenizer_for(policy.config.text).save(str(folder / "tokenizer.json"))
    layers, heads, size = policy.heads
    shape = (layers, 1, heads, 0, size)
    return write_bundle(
        folder,
        PolicyManifest(
            name=name,
            spec=policy.config.spec(),
            graphs=GRAPHS,
            inputs=inputs_of(policy),
            output=OUTPUTS[0],
            tokenizer=GraphFile("tokenizer.json"),
            recurrent=tuple(
                RecurrentTensor(f"past_{tensor}", f"present_{tensor}", shape) for tensor in ("keys", "values")
            ),
            provenance=provenance,
            tasks=tuple(tasks),
        ),
    )


def inputs_of(policy: SpocPolicy) -> tuple[GraphInput, ...]:
    """Returns the inputs of the policy graph by role, named as `write_policy_graph` names them."""
    text, state, previous, step = INPUTS
    return (
        *(ImageInput(camera, camera) for camera in policy.config.cameras),
        TextInput(text),
        StateInput(state),
        PreviousActionInput(previous, policy.config.tokens.start, policy.config.tokens.blocked),
        StepInput(step),
    )


def read_result(path: Path, checkpoint: Path) -> dict[str, Any]:
    """Reads a result that `ferry train evaluate` wrote for a checkpoint.

    Raises:
        ExportError: the file is missing, damaged or of another kind, of another checkpoint, or the robot slid along
            obstacles.
    """
    try:
        result = json.loads(path.read_text())
        simulated(result)
        contact, judged = result["options"]["contact"], Path(result["options"]["checkpoint"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        got = f"{type(error).__name__} ({error})"
        raise ExportError(f"{path}: got {got}, expected what `ferry train evaluate` writes") from error
    if contact != "strict":
        raise ExportError(f"{path}: got contact '{contact}', expected 'strict': no real base slides")
    if judged.resolve() != checkpoint.resolve():
        raise ExportError(f"{path}: got a result of {judged}, expected one of {checkpoint}")
    return dict(result)


def simulated(result: Mapping[str, Any]) -> SimulatedResult:
    """Converts such a result to the manifest's form."""
    return SimulatedResult(**result["simulated"], max_steps=result["options"]["max_steps"])


def trained_for(payload: Mapping[str, Any]) -> tuple[tuple[str, ...], str]:
    """Returns the tasks and the robot that a checkpoint was last trained for; ObjectNav and the Stretch by default."""
    play = payload.get("training", {}).get("play", {})
    return tuple(payload.get("tasks") or play.get("task") or (TASK,)), str(play.get("body", "stretch_re1"))


def provenance_of(payload: dict[str, Any], results: Sequence[dict[str, Any]] = ()) -> Provenance:
    """Makes the provenance of the policy in a checkpoint; that of a released one which it was fine-tuned from, too."""
    origin, algorithm = payload.get("origin", {}), str(payload.get("algorithm", "none"))
    return Provenance(
        git_commit=str(payload.get("git_commit", "")) or git_commit(),
        config_sha256=config_hash({"policy": payload["policy"], "training": payload.get("training", {})}),
        algorithm=f"{algorithm}, from {origin['release']} ({origin['file']})" if origin else algorithm,
        seed=int(payload.get("seed", 0)),
        steps=int(payload.get("steps", 0)),
        command=str(payload.get("command", "")).replace(f"{Path.cwd()}/", ""),  # not where this machine keeps it
        simulated=tuple(map(simulated, results)),
        source_sha256=str(origin.get("sha256", "")),
        left_out=tuple(origin.get("left_out", ())),
        looks=int(payload.get("looks", LOOKS[0])),
    )


def load_made(folder: Path) -> PolicyBundle:
    """Loads a bundle that was just made. Raises ExportError."""
    try:
        return PolicyBundle.load(folder, threads=1)
    except BundleError as error:
        raise ExportError(f"the bundle that was made cannot be loaded: {error}") from error


def _put(made: Path, folder: Path, old: Path) -> None:
    """Moves `made` to `folder`; an existing bundle is moved to `old` first, so that the folder is never a mixture."""
    if folder.exists():
        os.replace(folder, old)
    os.replace(made, folder)
    shutil.rmtree(old, ignore_errors=True)
