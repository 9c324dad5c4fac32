"""What `ferry serve` and `ferry swap` agree on: where the operator's socket is, and what is asked there."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

PORT = 8042
SWAP = "/swap"
POLICIES = "/policies"


def control_path(port: int) -> Path:
    """Returns the socket of this user's server on `port`."""
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    folder = Path(runtime) / "ferry" if runtime else Path(tempfile.gettempdir()) / f"ferry-{os.getuid()}"
    return folder / f"serve-{port}.sock"
