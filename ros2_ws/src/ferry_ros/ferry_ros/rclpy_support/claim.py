"""One robot, one name: each part of a graph (robot node, supervisor, policy node) exists once in its namespace.

A node claims its part before it does anything else. If another node on any machine of the domain has it already, the
claim is refused before anything is touched. Of two that start at the same moment, one is refused. Two that could not
communicate then (a frozen process, a cut network) detect each other later: both stop the robot, and the one with the
larger id ends.
"""

from __future__ import annotations

import getpass
import json
import math
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace

from rclpy.node import Node
from std_msgs.msg import String

from ferry_ros.messages import qos
from ferry_ros.messages.json_text import read_json
from ferry_ros.rclpy_support.spinner import Spinner, sibling_node
from ferry_ros.rclpy_support.timer import steady_timer
from robots.errors import RobotError

PERIOD_S = 0.1
ECHOES = 8
"""Listening goes on until this node has heard so many of its own claims: 0.8 s, longer than discovery takes, which
announces a node twice a second (`fast_dds.xml`). A process that has no processor hears itself later, and others too."""
DEAF_S = 10.0
"""After it, a node that heard nothing of itself gives up."""
LAST_S = 0.3
"""Listening goes on for at least so long after `settle` was called: creating a robot may have held up this process."""
SILENT_S = 3.0
"""Listening goes on for so long while another claimant is discovered that published nothing yet: it may have had no
time. One that was killed is discovered for a while as well, so that its follower waits that long."""
SAME_S = 0.3
"""Claims that began within so short a time of each other count as one moment: ids decide."""
FORGET_S = 1.0
"""A claim expires after so long a silence."""


class NameTaken(RobotError):
    """Another process has this part in this namespace."""


@dataclass(frozen=True)
class Claimant:
    """Process that claims a part.

    Attributes:
        id: drawn when its process starts.
        held: it has the part; otherwise it requests it.
        age_s: time since it claimed the part.
        pid: of its process, on `host`, started by `user`.
    """

    id: str = field(default_factory=lambda: secrets.token_hex(8))
    held: bool = False
    age_s: float = 0.0
    host: str = field(default_factory=socket.gethostname)
    pid: int = field(default_factory=os.getpid)
    user: str = field(default_factory=lambda: _user())

    @classmethod
    def from_json(cls, text: str) -> Claimant:
        """Inverse of `to_json`; ValueError when `text` is no claim, as from a node that is not Ferry's."""
        try:
            other = cls(**read_json(text))
        except TypeError as error:
            raise ValueError(str(error)) from error
        if any(type(value) is not type(getattr(NOBODY, name)) for name, value in asdict(other).items()):
            raise ValueError(f"claim: got {text[:80]}")
        if not math.isfinite(other.age_s):
            raise ValueError(f"age of a claim: got {other.age_s}")
        return other

    def to_json(self) -> str:
        """Message of this claim."""
        return json.dumps(asdict(self))

    def precedes(self, other: Claimant) -> bool:
        """Whether this claim came first: of two that meet late, whoever was there before keeps the part."""
        if abs(self.age_s - other.age_s) > SAME_S:
            return self.age_s > other.age_s
        return self.id < other.id

    def __str__(self) -> str:
        return f"process {self.pid} of {self.user} on {self.host}"


NOBODY = Claimant(host="", pid=0, user="")


class Claim:
    """Claim of one node on its part, from its creation on; it has the part once `settle` has returned.

    Args:
        node: in the namespace of the claim, which has a sibling node of its own.
        part: e.g. "robot_node", independent of the node's name.
        on_conflict: called with the reason to stop while another process has the part as well, and with "" when that is
            over; from a thread of its own.
        on_lost: called with the same reason when this node must give up the part.
    """

    def __init__(
        self, node: Node, part: str, on_conflict: Callable[[str], None], on_lost: Callable[[RobotError], None]
    ) -> None:
        self._part, self._on_conflict, self._on_lost = part, on_conflict, on_lost
        self._namespace, self._topic = node.get_namespace(), f"claim/{part}"
        self._me = Claimant()
        self._others: dict[str, tuple[Claimant, float]] = {}
        self._lock = threading.Lock()
        self._conflict, self._began_s, self._echoes = "", time.monotonic(), 0
        self._sibling = sibling = sibling_node(node, "claim")
        self._publisher = sibling.create_publisher(String, self._topic, qos.EVERY)
        sibling.create_subscription(String, self._topic, self._take, qos.EVERY)
        steady_timer(sibling, PERIOD_S, self._check)
        self._spinner = Spinner(sibling, on_error=self._fail)

    def settle(self) -> None:
        """Waits for objections to the claim.

        Raises NameTaken, which names the other process, when there is one; RobotError when this node does not hear its
        own claim: it would not hear another's.
        """
        begun = time.monotonic()
        while self._listens(time.monotonic() - begun):
            time.sleep(PERIOD_S / 2)
            if rival := self._rival():
                self.close()
                raise NameTaken(self._words(rival) + "; end it, or give this one another namespace")
        if not self._echoes:
            self.close()
            raise RobotError(
                f"{self._topic}: heard nothing in {DEAF_S} s, not even this node's own claim; start it again"
            )
        self._me = replace(self._me, held=True)
        self._check()

    def close(self) -> None:
        """Withdraws the claim."""
        self._spinner.close()

    def _listens(self, past_s: float) -> bool:
        """Whether `settle`, begun so long ago, should go on listening."""
        return (
            past_s < LAST_S
            or (self._echoes < ECHOES and past_s < DEAF_S)
            or (self._somebody_is_silent() and past_s < SILENT_S)
        )

    def _somebody_is_silent(self) -> bool:
        """Whether more others publish their claim than have been heard."""
        with self._lock:
            return self._sibling.count_publishers(self._topic) - 1 > len(self._others)

    def _fail(self, error: BaseException) -> None:
        """Ends a node whose claim nobody defends any more."""
        self._on_lost(RobotError(f"{self._topic}: {type(error).__name__}: {error}"))

    def _words(self, rival: Claimant) -> str:
        return f"two of {self._namespace}/{self._part}: {rival} has that name already"

    def _rival(self) -> Claimant | None:
        """Other process that has the part, or requests it as well and came first."""
        with self._lock:
            heard = [(other, time.monotonic() - heard_s) for other, heard_s in self._others.values()]
        alive = [replace(other, age_s=other.age_s + past_s) for other, past_s in heard if past_s < FORGET_S]
        me = self._now()
        return next((other for other in alive if other.held or (not me.held and other.precedes(me))), None)

    def _now(self) -> Claimant:
        return replace(self._me, age_s=time.monotonic() - self._began_s)

    def _check(self) -> None:
        self._publisher.publish(String(data=self._now().to_json()))
        if not self._me.held:
            return
        rival = self._rival()
        words = self._words(rival) if rival else ""
        if words != self._conflict:
            self._conflict = words
            self._on_conflict(words)
        if rival and rival.precedes(self._now()):
            self._on_lost(NameTaken(words))

    def _take(self, message: String) -> None:
        try:
            other = Claimant.from_json(message.data)
        except ValueError:  # not from a node of ours
            return
        with self._lock:
            if other.id == self._me.id:
                self._echoes += 1
            else:
                self._others[other.id] = (other, time.monotonic())


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        return str(os.getuid())
