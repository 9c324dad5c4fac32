"""A ROS domain of this process's own: no other process of this computer that asks for one gets the same."""

from __future__ import annotations

import random
from contextlib import suppress
from functools import cache

from robots.errors import ConnectionFailed
from robots.processes.lock import Lock, claim

FIRST, LAST = 1, 101
"""Domains to choose from: 0 is everybody's, and from 102 on DDS meets Linux's ephemeral ports (docs.ros.org)."""


_held: list[Lock] = []


@cache
def own_domain() -> int:
    """Returns this process's domain, the same each time."""
    return take_domain()


def take_domain() -> int:
    """Returns another domain, which stays this process's until it ends; a random one where all are taken."""
    numbers = random.SystemRandom().sample(range(FIRST, LAST + 1), LAST)
    for number in numbers:
        with suppress(ConnectionFailed):
            _held.append(claim(f"ros-domain-{number}"))
            return number
    return numbers[0]
