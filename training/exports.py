"""`ferry export`: writes a checkpoint as a policy bundle, each kind of checkpoint in its own way."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from training.runtime import torch_file
from training.vla.policy.checkpoint import KIND

ANY = "a checkpoint"


def main(argv: Sequence[str]) -> int:
    """Runs `ferry export`; `--checkpoint FILE --help` lists the options for that file's kind."""
    if _kind(argv) == KIND:
        from training.vla.export.bundle import main as export
    else:  # also without a checkpoint: this one reports what is missing
        from training.export.bundle import main as export
    return export(argv)


def _kind(argv: Sequence[str]) -> str:
    """Kind of the checkpoint that is named; empty where none is.

    Raises:
        CheckpointError: there is no such file, or it cannot be read.
    """
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    parser.add_argument("--checkpoint", type=Path)
    try:
        path = parser.parse_known_args(list(argv))[0].checkpoint
    except argparse.ArgumentError:  # no value: the exporter's own parser says so
        return ""
    payload = torch_file.read(path, ANY, mapped=True) if path is not None else {}
    return str(payload.get("kind", "")) if isinstance(payload, dict) else ""
