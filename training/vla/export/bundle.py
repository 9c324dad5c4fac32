"""`ferry export` of a vision-language-action policy: a bundle for the arm that gave its demonstrations.

Compared with torch on observations of demonstrations, token for token, before anything is written.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tyro
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

from policy_server.graph_inputs import GraphInput, ImageInput, StateInput, TextInput
from policy_server.manifest import PolicyManifest, write_bundle
from policy_server.manifest_parts import GraphFile, Provenance
from robots.spec import EMPTY_VECTOR, CameraInput, ContinuousActions, PolicySpec
from simulation.demonstrations.demonstration import Demonstration
from training.bundles.parity import TOLERANCE
from training.errors import ExportError
from training.export.bundle import load_made, provenance_of, put
from training.runtime.checkpoint import load
from training.vla.export.body import BundleBody, body_of
from training.vla.export.onnx_graph import OUTPUTS, compare_chunks, write_chunk_graph
from training.vla.export.results import read_results
from training.vla.policy.checkpoint import KIND, policy_from
from training.vla.policy.config import PADDING, UNKNOWN, VlaConfig
from training.vla.policy.model import VlaPolicy
from training.vla.sft.data import read_demonstrations
from training.vla.sft.lerobot_demonstrations import PublicLayout

GRAPH, TOKENIZER = "policy.onnx", "tokenizer.json"
SPECIAL = {PADDING: "[PAD]", UNKNOWN: "[UNK]"}


@dataclass(frozen=True)
class Looked:
    """What was seen and felt before one action."""

    image: npt.NDArray[np.uint8]
    proprio: npt.NDArray[np.float32]


@dataclass(frozen=True)
class VlaExportOptions:
    """Writes a vision-language-action checkpoint as a policy bundle for LIBERO's Panda or the Piper on a table-top."""

    checkpoint: Path
    """A policy's checkpoint, e.g. runs/vla/grpo/last.pt."""
    out: Path
    """Folder to write; an existing bundle in it is replaced."""
    demonstrations: tuple[Path, ...]
    """Folders with demonstrations: torch and onnxruntime are compared on what was seen in them."""
    lerobot: PublicLayout = field(default_factory=PublicLayout)
    name: str = ""
    """Name of the bundle; by default that of the folder."""
    rows: int = 0
    """Rows of a chunk that are executed before the policy looks again; 0 for those of its training, or all."""
    control_period_s: float = 0.5
    """Time that one decision is given, from its observation."""
    observations: int = 60
    """Observations to compare on, spread over the demonstrations."""
    tolerance: float = TOLERANCE
    """Largest accepted difference to torch."""
    results: tuple[Path, ...] = ()
    """JSON files of `ferry train evaluate-vla` for this checkpoint; their success goes into the provenance."""


def main(argv: Sequence[str]) -> int:
    """Runs `ferry export` for a vision-language-action checkpoint."""
    options = tyro.cli(VlaExportOptions, args=list(argv), prog="ferry export")
    payload = load(options.checkpoint, KIND)
    policy = policy_from(payload, options.checkpoint)
    demonstrations = read_demonstrations(options.demonstrations, lerobot=options.lerobot)
    rows = options.rows or int(payload.get("training", {}).get("rows", policy.config.chunk))
    if not 1 <= rows <= policy.config.chunk:
        raise ExportError(f"rows: got {rows}, expected 1 to {policy.config.chunk}, the policy's chunk")
    body = body_of(demonstrations)
    decisions = math.ceil(body.longest / rows)
    found = [read_results(path, options.checkpoint, body.embodiment, decisions) for path in options.results]
    manifest = manifest_of(
        policy.config,
        demonstrations,
        replace(vla_provenance(payload), simulated=tuple(one for some in found for one in some)),
        name=options.name or options.out.name,
        rows=rows,
        control_period_s=options.control_period_s,
    )
    manifest = export_vla(policy, options.out, manifest, demonstrations, options.observations, options.tolerance)
    size = sum(file.stat().st_size for file in options.out.iterdir()) / 1e6
    worst = max(manifest.parity.values())
    print(f"{options.out}: {manifest.name}, {size:.1f} MB, largest difference to torch {worst:.1e}")
    return 0


def export_vla(
    policy: VlaPolicy,
    folder: Path,
    manifest: PolicyManifest,
    demonstrations: Sequence[Demonstration],
    observations: int = 60,
    tolerance: float = TOLERANCE,
) -> PolicyManifest:
    """Writes a policy as a bundle into `folder`, atomically, once it answers as torch does.

    Raises:
        ExportError: the words or chunks of onnxruntime and torch differ, or `folder` has other files.
    """

    body = body_of(demonstrations)

    def make(made: Path) -> PolicyManifest:
        made.mkdir()
        write_chunk_graph(policy, made / GRAPH, body.form)
        tokenizer_of(policy.config).save(str(made / TOKENIZER))
        write_bundle(made, manifest)
        return replace(manifest, parity=_parity(policy, made, demonstrations, body, observations, tolerance))

    return put(folder, make)


def manifest_of(
    config: VlaConfig,
    demonstrations: Sequence[Demonstration],
    provenance: Provenance,
    *,
    name: str,
    rows: int,
    control_period_s: float = 0.5,
) -> PolicyManifest:
    """Makes the manifest: one image, the instruction's words, the hand where the policy feels it; chunks of rows.

    An episode may take as many decisions as the longest of the demonstrations' suites needs.

    Raises:
        ExportError: the policy's actions or proprioception are not those of the arm.
    """
    body = body_of(demonstrations)
    felt = len(body.state)
    for what, got, expected in (
        ("numbers of an action", config.dimensions, len(body.actions)),
        ("numbers of proprioception", felt if config.proprio is None else len(config.proprio.low), felt),
    ):
        if got != expected:
            raise ExportError(f"{what}: got {got}, expected {expected} as {body.name} has")
    inputs: tuple[GraphInput, ...] = (ImageInput("image", body.camera), TextInput("words", "tokens"))
    return PolicyManifest(
        name=name,
        spec=PolicySpec(
            cameras=(CameraInput(body.camera, config.image_size, config.image_size, body.fov_deg),),
            state=EMPTY_VECTOR if config.proprio is None else body.state,
            actions=ContinuousActions(body.actions, config.chunk, body.row_s, rows),
            horizon=math.ceil(body.longest / rows),
            control_period_s=control_period_s,
        ),
        graphs={"policy": GraphFile(GRAPH)},
        inputs=inputs if config.proprio is None else (*inputs, StateInput("proprio")),
        output=OUTPUTS[0],
        tokenizer=GraphFile(TOKENIZER),
        provenance=provenance,
        tasks=tuple(dict.fromkeys(one.instruction for one in demonstrations)),
    )


def tokenizer_of(config: VlaConfig) -> Tokenizer:
    """Makes a tokenizers file of the policy's prompt or its table of words: the ids of `VlaConfig.word_ids`."""
    if config.tokenizer:
        return Tokenizer.from_str(config.tokenizer)
    words = [SPECIAL[number] for number in sorted(SPECIAL)] + list(config.words)
    vocabulary = {word: number for number, word in enumerate(words)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=SPECIAL[UNKNOWN]))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return tokenizer


def vla_provenance(payload: Mapping[str, Any]) -> Provenance:
    """Makes the provenance of a checkpoint of `ferry train sft` or `grpo`; its steps are updates."""
    return provenance_of({**payload, "steps": payload.get("updates", 0)})


def _parity(
    policy: VlaPolicy,
    made: Path,
    demonstrations: Sequence[Demonstration],
    body: BundleBody,
    observations: int,
    tolerance: float,
) -> dict[str, float]:
    """Largest differences by output along the demonstrations, each with its instruction."""
    bundle, worst = load_made(made), dict[str, float]()
    each = max(1, round(observations / len(demonstrations)))
    for one in demonstrations[:: max(1, len(demonstrations) // max(1, observations))]:
        ids, wanted = bundle.encode_text(one.instruction, max_tokens=512), policy.words([one.instruction]).numpy()
        if not np.array_equal(ids, wanted):  # type: ignore[arg-type]  # the policy takes text
            raise ExportError(f"words of '{one.instruction}': got {ids}, expected the policy's {wanted}")
        chosen = np.unique(np.linspace(0, len(one.actions) - 1, each).round().astype(int))
        seen = (Looked(one.images[number], one.proprio[number]) for number in chosen)
        differences = compare_chunks(policy, made / GRAPH, one.instruction, seen, tolerance, body.form)
        worst = {output: max(worst.get(output, 0.0), value) for output, value in differences.items()}
    return worst
