"""Detects two publishers of the same quantity.

DDS numbers the messages of each publisher. With two that take turns the numbers fall repeatedly, whatever their nodes'
names and computers; a restarted driver makes them fall once. So several nodes may publish `joint_states`, as they do on
many robots, as long as each publishes other joints.

On ROS 2 Humble rclpy does not give the number: there only the names of an exclusive topic's publishers are checked.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any

from rclpy.node import Node

from ferry_ros.rclpy_support.timer import steady_timer

FALLS = 2
"""Number of falls that a restarted driver does not explain."""

REMEMBER_S = 3.0
CHECK_S = 1.0

UNKNOWN = "_NODE_NAME_UNKNOWN_"


class Publishers:
    """Watches the publishers of `topic`.

    Args:
        exclusive: the whole topic belongs to one publisher, e.g. odometry; then the names of its nodes are checked too.
    """

    def __init__(self, node: Node, topic: str, exclusive: bool) -> None:
        self._node, self._topic = node, node.resolve_topic_name(topic)
        self._numbers: dict[str, int] = {}
        self._falls: deque[float] = deque(maxlen=FALLS)
        self._what = ""
        self._rivals: tuple[str, ...] = ()
        if exclusive:
            steady_timer(node, CHECK_S, self._check)

    def take(self, things: Iterable[str], info: Mapping[str, Any]) -> None:
        """Records a message with values of `things`; `info` is its message info from rclpy."""
        number = info.get("publication_sequence_number")
        if number is None:
            return
        fell = [thing for thing in things if number <= self._numbers.get(thing, -1)]
        self._numbers.update(dict.fromkeys(things, number))
        if fell:
            self._falls.append(time.monotonic())
            self._what = fell[0]

    @property
    def restarted_s(self) -> float:
        """Monotonic time of the last fall: a driver that was started anew; -inf before."""
        return self._falls[-1] if self._falls else -math.inf

    @property
    def fault(self) -> str:
        """Fault of two publishers of one quantity, with the nodes on the topic; empty while there is one."""
        if len(self._falls) == FALLS and time.monotonic() - self._falls[0] < REMEMBER_S:
            return self._text(self._what, self._names())
        return self._text("it", self._rivals) if self._rivals else ""

    def _text(self, what: str, names: Iterable[str]) -> str:
        return f"two publishers: {what} is published twice on {self._topic}, by nodes among {', '.join(names)}; end one"

    def _check(self) -> None:
        names = self._names()
        self._rivals = names if len(names) > 1 else ()

    def _names(self) -> tuple[str, ...]:
        found = self._node.get_publishers_info_by_topic(self._topic)
        names = {f"{end.node_namespace.rstrip('/')}/{end.node_name}" for end in found if end.node_name != UNKNOWN}
        return tuple(sorted(names))
