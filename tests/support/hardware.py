"""How a fake's process is started: it stands for hardware, which has a processor of its own."""

from __future__ import annotations

import os
import subprocess

REAL_TIME = ("chrt", "--reset-on-fork", "--rr", "1")


def _first() -> tuple[str, ...]:
    """In the real-time class where that is permitted, else with a high priority, else as everything."""
    if os.geteuid() != 0:
        return ()
    permitted = subprocess.run([*REAL_TIME, "true"], capture_output=True, check=False).returncode == 0
    return REAL_TIME if permitted else ("nice", "-n", "-15")


FIRST = _first()
"""First words of its command: on a busy machine it must not wait for those under test."""
