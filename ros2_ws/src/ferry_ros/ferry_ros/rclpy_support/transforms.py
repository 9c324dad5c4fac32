"""Publisher of /tf and /tf_static."""

from __future__ import annotations

from collections.abc import Sequence

from geometry_msgs.msg import TransformStamped
from rclpy.node import Node

from ferry_ros.interfaces.tf_message import serialized, tf_message
from ferry_ros.messages import qos


class TransformPublisher:
    """Publishes transforms as tf2's broadcasters do, without a word but one where tf2_msgs is not to be had.

    Args:
        node: whose publishers they are.
    """

    def __init__(self, node: Node) -> None:
        self._tf = self._static = None
        try:
            kind = tf_message()
        except ImportError as error:
            node.get_logger().warning(f"no /tf: {error}")
            return
        self._tf = node.create_publisher(kind, "/tf", qos.newest(100))
        self._static = node.create_publisher(kind, "/tf_static", qos.LATCHED)

    def send(self, transforms: Sequence[TransformStamped]) -> None:
        """Publishes `transforms` at their stamps."""
        if self._tf and transforms:
            self._tf.publish(serialized(transforms))

    def send_fixed(self, transforms: Sequence[TransformStamped]) -> None:
        """Publishes all the `transforms` that hold for good; late listeners get them too."""
        if self._static and transforms:
            self._static.publish(serialized(transforms))
