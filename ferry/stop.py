"""`ferry stop`: the emergency stop as a key of this terminal."""

from __future__ import annotations

import argparse
from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Runs `ferry stop` until Ctrl-C."""
    parser = argparse.ArgumentParser(
        prog="ferry stop",
        description="Every key stops every robot that is found, and is told whether they heard it; clearing takes a"
        " whole word. A terminal that closes stops them, too.",
    )
    parser.add_argument(
        "--namespace", default="/", help="stop only the robots in it, as the launch's namespace, or below"
    )
    options = parser.parse_args(argv)
    from ferry_ros.nodes import estop_key

    estop_key.main(["--ros-args", "-r", f"__ns:=/{options.namespace.strip('/')}"])
    return 0
