"""`ferry import`: reads what other projects released, each family in its own way."""

from __future__ import annotations

from collections.abc import Sequence

VLA = ("openvla-oft", "simplevla-rl")


def main(argv: Sequence[str]) -> int:
    """Runs `ferry import FAMILY ...`."""
    if argv and argv[0] in VLA:
        from training.vla.openvla.main import main as read
    elif argv and argv[0] == "lerobot":
        from training.lerobot.main import main as read
    else:  # also without a family: this one lists them
        from training.released.main import main as read
    return read(argv)
