"""The order of test files among several workers: what takes longest begins first, so that no worker waits at the end.

pytest-xdist begins with the files of most tests, and a file of one test that takes a minute would come last. Seconds of
a quiet machine; a file that is not listed takes less than 20.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, TypeVar

LONGEST = (
    "test_ros2_control_arm", "test_interbotix", "test_stretch_faults", "test_faults", "test_ferry_ros_graph",
    "test_back_again", "test_estop_key", "test_stretch_conformance", "test_piper_driver", "test_stretch_actions",
    "test_pyrobot_driver", "test_supervisor", "test_stretch_ros2_faults", "test_ferry_demo_run", "test_graph",
    "test_malformed", "test_graph_trial", "test_ros_stage", "test_conformance", "test_ferry_demo",
    "test_training_grpo", "test_libero_parity", "test_training_released", "test_training_distributed",
    "test_training_lerobot", "test_training_ppo_resume", "test_training_fine_tuning", "test_training_export",
    "test_training_sac", "test_training_sft", "test_robustness", "test_training_grpo_ranks", "test_training_sharded",
    "test_policy_swap", "test_training_ppo_overlap",
)  # fmt: skip
"""Names of files, without .py."""


class Collected(Protocol):
    """What this needs of a test."""

    path: Path


ItemT = TypeVar("ItemT", bound=Collected)
RANKS = {name: rank for rank, name in enumerate(LONGEST)}


def longest_first(items: Sequence[ItemT]) -> list[ItemT]:
    """Sorts tests by file, the longest files first; within a file, and among the other files, nothing moves."""
    return sorted(items, key=lambda one: RANKS.get(one.path.stem, len(RANKS)))
