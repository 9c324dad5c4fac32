"""`ferry import lerobot FOLDER --contract FILE --out BUNDLE`: a checkpoint of LeRobot becomes a policy bundle."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import torch
import tyro

from policy_server.authoring.findings import TRIES, examine, values_of
from policy_server.authoring.probing import add_probes
from policy_server.bundle import PolicyBundle
from policy_server.manifest import PolicyManifest, write_bundle
from policy_server.manifest_parts import GraphFile, Provenance
from robots.processes.text import printable
from robots.spec import ContinuousActions
from training.bundles.parity import Parity
from training.errors import ExportError
from training.export.bundle import load_made, put
from training.lerobot.checkpoint import Released, read_released
from training.lerobot.contract import read_contract
from training.lerobot.graph import OUTPUT, Step
from training.lerobot.smolvla_config import Positions
from training.lerobot.steps import step_of
from training.runtime.commit import git_commit

GRAPH, TOKENIZER = "policy.onnx", "tokenizer.json"
OBSERVATIONS, TOLERANCE = 5, 1e-4


@dataclass(frozen=True)
class ImportOptions:
    """Writes a checkpoint that was trained with LeRobot as a policy bundle; see docs/import.md."""

    family: Annotated[Literal["lerobot"], tyro.conf.Positional]
    """ACT, Diffusion Policy or SmolVLA."""
    folder: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="FOLDER")]
    """With config.json, model.safetensors, and since LeRobot 0.4 the files of its two processors."""
    contract: Path
    """YAML file: which camera, joint and unit of the robot each number of the checkpoint is."""
    out: Path
    """Folder to write; an existing bundle in it is replaced."""
    vlm: Path | None = None
    """For SmolVLA: folder with config.json and tokenizer.json of its backbone, e.g. of SmolVLM2-500M-Video-Instruct."""
    positions: Positions = "exact"
    """Of SmolVLA's image patches: "shifted" for float32 weights that were trained with transformers 4.55.1 to 4.57."""
    threads: int = 0
    """Threads for one inference; 0 for one per core."""
    tolerance: float = TOLERANCE
    """Largest accepted difference of an action to torch, as a fraction of its range."""
    keep: bool = False
    """Write the bundle although an answer to random observations does not fit the contract."""


def main(argv: Sequence[str]) -> int:
    """Runs the verb; returns 1, and writes nothing, when the answers do not fit the contract.

    Raises:
        CheckpointError: the checkpoint is damaged or not supported.
        ContractError: the contract is wrong, or is that of another checkpoint.
        ExportError: onnxruntime and torch differ.
    """
    options = tyro.cli(ImportOptions, args=list(argv), prog="ferry import")
    try:
        manifest = import_lerobot(options)
    except DoesNotFit as error:
        print(printable(f"{error}; nothing was written (--keep writes it all the same)"))
        return 1
    size = sum(file.stat().st_size for file in options.out.iterdir()) / 1e6
    worst = max(manifest.parity.values())
    print(f"{options.out}: {manifest.name}, {size:.1f} MB, largest difference to torch {worst:.1e} of a range")
    for line in manifest.provenance.left_out:
        print(f"left out: {line}")
    return 0


class DoesNotFit(ExportError):
    """Answers to random observations do not fit the contract."""


def import_lerobot(options: ImportOptions) -> PolicyManifest:
    """Reads, converts and tries a checkpoint, and writes the bundle; raises as `main`, and DoesNotFit."""
    released, contract = read_released(options.folder), read_contract(options.contract)
    spec, step = contract.spec(released.config), step_of(released, contract, options.vlm, options.positions)
    instruction = (contract.tasks or ("go",))[0]
    files = {TOKENIZER: step.tokenizer} if step.tokenizer else {}
    manifest = PolicyManifest(
        name=contract.name,
        spec=spec,
        graphs={"policy": GraphFile(GRAPH)},
        inputs=step.inputs,
        output=OUTPUT,
        tokenizer=GraphFile(TOKENIZER) if files else None,
        recurrent=step.recurrent,
        tasks=contract.tasks,
        provenance=_provenance(released, options),
    )

    def make(made: Path) -> PolicyManifest:
        made.mkdir()
        step.write(spec, made / GRAPH)
        write_bundle(made, manifest, files)
        bundle = load_made(made)
        write_bundle(made, replace(manifest, parity=compare(step, bundle, options.tolerance, instruction)))
        try_out(PolicyBundle.load(made, threads=options.threads), options.keep, instruction)
        add_probes(made, instruction, threads=options.threads)
        return load_made(made).manifest

    return put(options.out, make)


def compare(step: Step, bundle: PolicyBundle, tolerance: float, instruction: str = "") -> dict[str, float]:
    """Runs torch and onnxruntime along an episode of random observations.

    Returns:
        the largest difference, as a fraction of an action's range.

    Raises:
        ExportError: they differ by more than `tolerance`.
    """
    actions, parity = bundle.manifest.spec.actions, Parity()
    assert isinstance(actions, ContinuousActions)
    span = np.array(actions.vector.high, np.float32) - np.array(actions.vector.low, np.float32)
    span = np.where(span > 0, span, np.float32(1.0))
    recurrent = bundle.initial_state()
    for number in range(OBSERVATIONS):
        values = replace(values_of(bundle, instruction, number), step=number)
        tensors = [torch.from_numpy(one.tensor(values, bundle.manifest.spec)) for one in step.inputs]
        tensors += [torch.from_numpy(np.asarray(recurrent[tensor.input], np.float32)) for tensor in step.recurrent]
        with torch.inference_mode():
            answer = step(*step.arguments(tensors))
        chunk = (answer[0] if step.recurrent else answer)[0].numpy()
        got, recurrent = bundle.run(values, recurrent)
        parity.add(OUTPUT, chunk / span, got / span)
        parity.check(tolerance)
    return parity.worst


def try_out(bundle: PolicyBundle, keep: bool, instruction: str = "") -> None:
    """Prints what random observations show; raises DoesNotFit for an error among it, unless `keep`."""
    findings, took_s = examine(bundle, instruction)
    for finding in findings:
        print(printable(f"{'error' if finding.is_error else 'look at'}: {finding.what}"))
    print(f"{TRIES} random observations, {1000 * took_s:.1f} ms each")
    if not keep and any(finding.is_error for finding in findings):
        raise DoesNotFit(f"{bundle.manifest.name}: answers to random observations do not fit the contract")


def _provenance(released: Released, options: ImportOptions) -> Provenance:
    return Provenance(
        git_commit=git_commit(),
        config_sha256=hashlib.sha256((released.folder / "config.json").read_bytes()).hexdigest(),
        algorithm=f"LeRobot: {released.config.type}",
        command=f"ferry import lerobot {released.folder.name} --contract {options.contract.name}",
        source_sha256=released.sha256,
        left_out=released.left_out,
    )
