"""No two processes of a computer that ask for a ROS domain of their own get the same."""

from __future__ import annotations

import subprocess
import sys

from ferry.ros_domain import own_domain, take_domain

TAKES = "from ferry.ros_domain import take_domain; print(*(take_domain() for _ in range(5)), flush=True); input()"


def test_domains_of_two_processes_differ() -> None:
    here = {own_domain(), own_domain(), *(take_domain() for _ in range(4))}
    with subprocess.Popen(
        [sys.executable, "-c", TAKES], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        there = set(map(int, other.stdout.readline().split()))
        here |= {take_domain() for _ in range(5)}
        other.communicate("\n")
    assert (len(here), len(there)) == (10, 5)
    assert not here & there
    assert all(1 <= domain <= 101 for domain in here | there)
