"""The ways in which Ferry's topics deliver, by name."""

from __future__ import annotations

from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy


def newest(depth: int) -> QoSProfile:
    """The newest `depth` messages: 1 for driving, more for recording."""
    return QoSProfile(depth=depth, reliability=ReliabilityPolicy.RELIABLE)


NEWEST = newest(1)
"""Only the newest counts: observations and commands. A backlog of either would be a danger."""

EVERY = QoSProfile(depth=10, reliability=ReliabilityPolicy.RELIABLE)
"""Every one counts: results and diagnostics."""

ALL = newest(1000)
"""Depth of a whole trial's steps: none may be lost while the subscriber is busy. A step holds numbers, no images."""

LATCHED = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL)
"""A late listener gets the last one: what does not change, or the end of a trial."""
