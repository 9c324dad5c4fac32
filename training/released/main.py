"""`ferry import flare|spoc CHECKPOINT --out BUNDLE`: a released checkpoint becomes a policy bundle."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal

import tyro

from policy_server.manifest import PolicyManifest
from policy_server.manifest_parts import Provenance
from simulation.task_registry import task
from training.data.recording import Recording, record_episode
from training.errors import CheckpointError
from training.export.bundle import export
from training.export.parity import TOLERANCE
from training.models.config import config_hash
from training.models.spoc import SpocPolicy
from training.released.convert import image_part, policy_of
from training.released.differences import LeftOut, account
from training.released.read import Parameters, read_checkpoint
from training.released.releases import ALLENACT, LIGHTNING, RELEASES, Release, recognise
from training.released.tables import image_table
from training.released.weights import DINO_FILE, TOKENIZER_FILE, expect_files, expect_tokenizer, read_dino
from training.runtime.commit import git_commit

FAMILIES: Mapping[str, str] = {"flare": ALLENACT, "spoc": LIGHTNING}
CHORES = ("object_nav", "pick_up", "fetch", "room_visit")


@dataclass(frozen=True)
class ImportOptions:
    """Writes a checkpoint that FLaRe or SPOC released as a policy bundle; see docs/import.md."""

    family: Annotated[Literal["flare", "spoc"], tyro.conf.Positional]
    """flare: fine-tuned, a file of AllenAct; spoc: cloned, a file of Lightning."""
    checkpoint: Annotated[Path, tyro.conf.Positional]
    """The file that was downloaded."""
    out: Path
    """Folder to write; an existing bundle in it is replaced."""
    weights: Path | None = None
    """Folder with the text encoder's tokenizer.json, and for flare with dinov2_vits14_pretrain.pth."""
    name: str = ""
    """Name of the bundle; by default that of the release."""
    task: tuple[str, ...] = CHORES
    """Tasks it was trained on; the longest episode among them is the length of its memory (600 or 1000 decisions)."""
    tolerance: float = TOLERANCE
    """Largest accepted difference to torch."""
    steps: int = 20
    """Length of the recorded episode of the parity check."""


@dataclass(frozen=True)
class Imported:
    """A released checkpoint as a policy of this repository."""

    policy: SpocPolicy
    release: Release
    source: Parameters
    left_out: tuple[LeftOut, ...]

    def provenance(self, command: str) -> Provenance:
        """For the manifest."""
        return Provenance(
            git_commit=git_commit(),
            config_sha256=config_hash({"policy": self.release.config.to_json()}),
            algorithm=self.release.algorithm,
            seed=self.source.seed,
            steps=self.source.steps,
            command=command,
            source_sha256=self.source.sha256,
            left_out=tuple(map(str, self.left_out)) + tuple(f"{name}: the trainer's" for name in self.source.other),
        )


def main(argv: Sequence[str]) -> int:
    """Runs `ferry import`."""
    options = tyro.cli(ImportOptions, args=list(argv), prog="ferry import")
    imported = import_released(options)
    config = imported.policy.config
    recording = record_episode(config.spec(), config.tokens, steps=options.steps, task=options.task[0])
    manifest = write(imported, recording, options)
    print(summary(imported, manifest, options.out, len(recording.steps)))
    return 0


def import_released(options: ImportOptions, releases: tuple[Release, ...] = RELEASES) -> Imported:
    """Reads a checkpoint and checks every parameter in it.

    Raises:
        CheckpointError: the file, a parameter in it, or what it does not hold itself is not what it should be.
    """
    source = read_checkpoint(options.checkpoint)
    _expect_family(options.family, source)
    try:
        release = recognise(source.shapes, source.container, releases)
        left_out = account(source.shapes, release.table(), release.left_out, release.name)
        folder = expect_files(options.weights, release.config, images=not release.has_images)
        expect_tokenizer(folder / TOKENIZER_FILE, release.config.text.kind)
        horizon = max(task(name).max_steps for name in options.task)
        release = replace(release, config=replace(release.config, horizon=horizon))
        if release.has_images:
            images = image_part(source.tensors)
        else:
            images = read_dino(folder / DINO_FILE, image_table(release.config))
        return Imported(policy_of(release, source.tensors, images, folder), release, source, left_out)
    except CheckpointError as error:
        raise CheckpointError(f"{options.checkpoint}: {error}") from error


def write(imported: Imported, recording: Recording, options: ImportOptions) -> PolicyManifest:
    """Writes the bundle after its parity check."""
    provenance = imported.provenance(f"ferry import {options.family} {options.checkpoint.name}")
    name = options.name or imported.release.name
    return export(
        imported.policy, options.out, recording, provenance, name=name, tolerance=options.tolerance, tasks=options.task
    )


def summary(imported: Imported, manifest: PolicyManifest, out: Path, steps: int) -> str:
    """Formats a summary: the bundle, its source, and the parameters left out."""
    size = sum(file.stat().st_size for file in out.iterdir()) / 1e6
    source = imported.source
    taken = len(source.tensors) - sum(left.count for left in imported.left_out)
    return "\n".join(
        [
            f"{out}: {manifest.name}, {size:.1f} MB, {steps} steps compared, "
            f"largest difference {max(manifest.parity.values()):.1e}",
            f"taken: {taken} of {len(source.tensors)} parameters of {source.path} (sha256 {source.sha256})",
            *(f"left out: {line}" for line in manifest.provenance.left_out),
        ]
    )


def _expect_family(family: str, source: Parameters) -> None:
    if source.container != FAMILIES[family]:
        other = next(name for name, container in FAMILIES.items() if container == source.container)
        got = f"a checkpoint of {source.container}"
        raise CheckpointError(
            f"{source.path}: got {got}, expected one of {FAMILIES[family]}; `ferry import {other}` reads this one"
        )
