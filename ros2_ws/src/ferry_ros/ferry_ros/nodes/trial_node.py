"""`trial_node`: runs an evaluation plan on the graph of its own namespace, as `ferry evaluate --robot ros` does."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from rclpy.node import Node
from rclpy.utilities import remove_ros_args, try_shutdown

from evaluation.evaluate import main as evaluate
from ferry_ros.rclpy_support.context import enter
from ferry_ros.ros_stage import RosStage


def main(args: Sequence[str] | None = None) -> int:
    """Entry point of the executable `trial_node`; its arguments are those of `ferry evaluate`, the robot is "ros"."""
    argv = list(sys.argv if args is None else args)
    enter(argv)
    try:
        node = Node("trial_node")
        namespace = node.get_namespace()
        node.destroy_node()
        rest = remove_ros_args(argv)[1:]
        return evaluate([*rest, "--robot", "ros"], {"ros": lambda _: RosStage(namespace)})
    finally:
        try_shutdown()


if __name__ == "__main__":
    sys.exit(main())
