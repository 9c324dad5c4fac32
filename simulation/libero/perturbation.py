"""LIBERO-PRO's perturbations of LIBERO's suites (Zhou et al. 2025, arXiv:2510.03827): each changes one thing.

Each is a suite of its own with initial states of its own, e.g. libero_spatial_swap.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

KINDS: Mapping[str, str] = MappingProxyType(
    {
        "swap": "objects have exchanged places",
        "object": "objects have other looks or sizes",
        "lan": "the instruction is in other words",
        "task": "another goal in the same scene, with its instruction",
    }
)
"""Of each of the four suites: 10 tasks, 50 initial states each."""

SHIFTS = tuple(f"{axis}0.{tenths}" for axis in "xy" for tenths in range(1, 6))
"""Further ones of libero_object: the object to be taken stands so many metres further along an axis."""

SHIFTED = re.compile(r"(?P<suite>libero_[a-z0-9]+_temp)_[xy]0\.[1-5]$")
"""Names of shifted suites, which LIBERO-PRO ships and does not register."""


def suite_of(suite: str, kind: str) -> str:
    """Returns the name of a suite's perturbation; the suite itself for an empty one."""
    if not kind:
        return suite
    return f"{suite}_temp_{kind}" if kind in SHIFTS else f"{suite}_{kind}"


def has_own_words(suite: str) -> bool:
    """Whether the tasks of a suite have other instructions than those of the suite it is made from."""
    return suite.endswith(("_lan", "_task"))
