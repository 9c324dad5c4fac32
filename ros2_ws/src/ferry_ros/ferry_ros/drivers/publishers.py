"""Whether one thing is told by one publisher alone.

DDS numbers the messages of each publisher. Two that take turns make the numbers fall again and again, whatever they are
called and on whatever computer they run; a driver that was started anew makes them fall once. So several nodes may
share `joint_states`, as they do on many robots, as long as each tells of other joints.

On ROS 2 Humble rclpy does not tell the number: there only the names of an exclusive topic's publishers are looked at.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any

from rclpy.node import Node

from ferry_ros.rclpy_support.timer import steady_timer

FALLS = 2
"""So many falls of the number are not of a driver that was started anew."""

REMEMBER_S = 3.0
LOOK_S = 1.0

UNKNOWN = "_NODE_NAME_UNKNOWN_"


class Publishers:
    """Watches who tells what on `topic`.

    Args:
        exclusive: the whole topic belongs to one publisher, e.g. odometry; then its nodes' names are looked at too.
    """

    def __init__(self, node: Node, topic: str, exclusive: bool) -> None:
        self._node, self._topic = node, node.resolve_topic_name(topic)
        self._numbers: dict[str, int] = {}
        self._falls: deque[float] = deque(maxlen=FALLS)
        self._what = ""
        self._rivals: tuple[str, ...] = ()
        if exclusive:
            steady_timer(node, LOOK_S, self._look)

    def take(self, things: Iterable[str], info: Mapping[str, Any]) -> None:
        """Notes that a message told of `things`; `info` is what rclpy tells beside it."""
        number = info.get("publication_sequence_number")
        if number is None:
            return
        fell = [thing for thing in things if number <= self._numbers.get(thing, -1)]
        self._numbers.update(dict.fromkeys(things, number))
        if fell:
            self._falls.append(time.monotonic())
            self._what = fell[0]

    @property
    def fault(self) -> str:
        """That two tell of one thing, and who is on the topic; empty while it is one."""
        if len(self._falls) == FALLS and time.monotonic() - self._falls[0] < REMEMBER_S:
            return self._text(self._what, self._names())
        return self._text("it", self._rivals) if self._rivals else ""

    def _text(self, what: str, names: Iterable[str]) -> str:
        return f"two publishers: {what} is told twice on {self._topic}, by nodes among {', '.join(names)}; end one"

    def _look(self) -> None:
        names = self._names()
        self._rivals = names if len(names) > 1 else ()

    def _names(self) -> tuple[str, ...]:
        found = self._node.get_publishers_info_by_topic(self._topic)
        names = {f"{one.node_namespace.rstrip('/')}/{one.node_name}" for one in found if one.node_name != UNKNOWN}
        return tuple(sorted(names))
