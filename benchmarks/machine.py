"""This machine, as a benchmark's first line names it."""

from __future__ import annotations

import platform
from pathlib import Path


def cpu() -> str:
    """The processor's name, where Linux reports it."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
