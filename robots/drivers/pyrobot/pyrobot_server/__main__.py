"""Entry point of `python3 -m pyrobot_server`: runs beside PyRobot."""

# ruff: noqa: UP006, UP035, UP045
import argparse
import sys
from typing import List, Optional

from .server import serve


def main(argv: Optional[List[str]] = None) -> int:
    """Entry point: runs beside PyRobot."""
    parser = argparse.ArgumentParser(description="Moves a PyRobot LoCoBot for one client over a socket.")
    parser.add_argument("--host", default="127.0.0.1", help="0.0.0.0 for every network")
    parser.add_argument("--port", type=int, default=7077)
    parser.add_argument("--robot", default="locobot", help="PyRobot's name: locobot or locobot_lite")
    arguments = parser.parse_args(argv)
    try:
        import pyrobot  # type: ignore[import-not-found]
    except ImportError as error:
        sys.exit(f"pyrobot cannot be imported ({error}): activate its environment; see docs/pyrobot_protocol.md")
    robot = pyrobot.Robot(arguments.robot, use_arm=False, use_gripper=False)
    return serve(robot, arguments.host, arguments.port, lambda address: print(f"ready {address}", flush=True))


if __name__ == "__main__":
    sys.exit(main())
