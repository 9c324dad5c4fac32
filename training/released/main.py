"""`ferry import flare|spoc FILE`: a released checkpoint becomes a policy bundle, or what a training begins from."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from policy_server.manifest import PolicyManifest
from policy_server.manifest_parts import Provenance
from simulation.task_registry import task
from training.bundles.parity import TOLERANCE
from training.data.recording import Recording, record_episode
from training.errors import CheckpointError, ConfigError
from training.export.bundle import export
from training.models.config import config_hash
from training.models.spoc import SpocPolicy
from training.released.convert import image_part, policy_of
from training.released.differences import LeftOut, account
from training.released.fine_tuning import checkpoint_payload
from training.released.read import Parameters, read_checkpoint
from training.released.releases import ALLENACT, LIGHTNING, RELEASES, Release, recognise
from training.released.tables import image_table
from training.released.weights import DINO_FILE, TOKENIZER_FILE, expect_files, expect_tokenizer, read_dino
from training.runtime.checkpoint import expect_new, save
from training.runtime.commit import git_commit

FAMILIES: Mapping[str, str] = {"flare": ALLENACT, "spoc": LIGHTNING}
CHORES = ("object_nav", "pick_up", "fetch", "room_visit")


@dataclass(frozen=True)
class ImportOptions:
    """Reads a checkpoint that FLaRe or SPOC released, to be deployed or fine-tuned; see docs/import.md."""

    family: Annotated[Literal["flare", "spoc"], tyro.conf.Positional]
    """flare: fine-tuned, a file of AllenAct; spoc: cloned, a file of Lightning."""
    file: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="FILE")]
    """The file that was downloaded."""
    out: Path | None = None
    """Bundle to write, a folder; an existing bundle in it is replaced."""
    checkpoint: Path | None = None
    """Training checkpoint to write, e.g. runs/flare/bc/best.pt: `ferry train ppo --clone`, `ferry train dagger
    --checkpoint` and `ferry train bc --init` begin from it."""
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

    def check(self) -> None:
        """Raises ConfigError where nothing is to be written, CheckpointError where the checkpoint exists already."""
        if self.out is None and self.checkpoint is None:
            raise ConfigError("--out and --checkpoint", "neither", "a bundle to write, a checkpoint to train, or both")
        if self.checkpoint is not None:
            expect_new(self.checkpoint, "another --checkpoint")


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
            left_out=self.left_out_lines,
        )

    @property
    def left_out_lines(self) -> tuple[str, ...]:
        """What of the file is not in a bundle, and why."""
        return tuple(map(str, self.left_out)) + tuple(f"{name}: the trainer's" for name in self.source.other)


def main(argv: Sequence[str]) -> int:
    """Runs `ferry import`."""
    options = tyro.cli(ImportOptions, args=list(argv), prog="ferry import")
    options.check()
    imported = import_released(options)
    if options.checkpoint is not None:
        payload = write_checkpoint(imported, options.checkpoint, options, shlex.join(["ferry", "import", *argv]))
        critic = "and the critic" if "critic" in payload else "without a critic"
        print(f"{options.checkpoint}: the policy {critic} of {options.file}, to begin a training from")
    if options.out is not None:
        config = imported.policy.config
        recording = record_episode(config.spec(), config.tokens, steps=options.steps, task=options.task[0])
        manifest = write(imported, recording, options, options.out)
        print(summary(imported, manifest, options.out, len(recording.steps)))
    return 0


def import_released(options: ImportOptions, releases: tuple[Release, ...] = RELEASES) -> Imported:
    """Reads a checkpoint and checks every parameter in it.

    Raises:
        CheckpointError: the file, a parameter in it, or what it does not hold itself is not what it should be.
    """
    source = read_checkpoint(options.file)
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
        raise CheckpointError(f"{options.file}: {error}") from error


def write_checkpoint(imported: Imported, path: Path, options: ImportOptions, command: str) -> dict[str, Any]:
    """Writes a checkpoint that a training begins from; returns its content.

    Raises:
        CheckpointError: it cannot be written, or the file's critic is not whole.
    """
    policy, release, source = imported.policy, imported.release, imported.source
    try:
        payload = checkpoint_payload(policy, release, source, imported.left_out_lines, options.task, command)
    except CheckpointError as error:
        raise CheckpointError(f"{options.file}: {error}") from error
    save(path, "policy", payload)
    return payload


def write(imported: Imported, recording: Recording, options: ImportOptions, out: Path) -> PolicyManifest:
    """Writes the bundle into `out` after its parity check."""
    provenance = imported.provenance(f"ferry import {options.family} {options.file.name}")
    name = options.name or imported.release.name
    return export(
        imported.policy, out, recording, provenance, name=name, tolerance=options.tolerance, tasks=options.task
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
