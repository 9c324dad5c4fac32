"""Parts of a manifest that every schema has: files, recurrent state, provenance."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class GraphFile:
    """One file of a bundle: its name in the bundle and the sha256 of its bytes in hexadecimal."""

    file: str
    sha256: str = ""
    """Filled in by `write_bundle`."""


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
    """Provenance of a policy; empty where it is unknown.

    `source_sha256` is the hash of a released checkpoint that was imported, or imported and fine-tuned, `left_out` the
    parts of it that are not in the bundle, with the reason. A policy that was trained on from a bundle has the hash of
    its manifest.json. Both are empty for another policy that Ferry alone has trained.
    `looks` is the version of the houses' looks that it was trained for (`simulation.episode.LOOKS`); it says nothing of
    a policy for another place.
    """

    git_commit: str = ""
    config_sha256: str = ""
    algorithm: str = ""
    seed: int = 0
    steps: int = 0
    command: str = ""
    simulated: tuple[SimulatedResult, ...] = ()
    source_sha256: str = ""
    left_out: tuple[str, ...] = ()
    looks: int = 1
