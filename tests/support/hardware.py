"""How a fake's process is started: it stands for hardware, which has a processor of its own."""

from __future__ import annotations

import os

FIRST = ("nice", "-n", "-15") if os.geteuid() == 0 else ()
"""First words of its command, where they are permitted: on a busy machine it must not wait for those under test."""
