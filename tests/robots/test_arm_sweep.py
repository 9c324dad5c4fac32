"""No arm sweeps through the floor: random targets and chunks, followed as they are sent, and stopped anywhere."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.arms.arm_paths import ARMS, Sweep, planner, sweep

pytest.importorskip("pinocchio", reason="the extra `arm` is not installed")

DEEPEST_M = 1e-4
"""What the planner cannot tell from the floor."""


@pytest.mark.parametrize("name", ARMS)
def test_nothing_that_is_accepted_takes_the_fingertips_below_the_floor(name: str) -> None:
    found: Sweep = sweep(name, count=60, seed=1)
    assert found.accepted >= 8, "too few to say anything"
    assert found.refused > 0
    assert found.deepest_m <= DEEPEST_M
    assert found.fastest <= 1.0 + 1e-6
    assert found.beyond_range <= 0.03, "cubics of a controller that lags; what is sent to it is clipped"


def test_the_sweep_sees_what_a_look_at_the_ends_alone_does_not() -> None:
    """As the planner was: some of the targets whose ends are well lead more than 5 cm below the floor."""
    from benchmarks.arms.arm_paths import depth, draw_target

    arm, rng, through = planner("ur5e"), np.random.default_rng(0), 0
    for _ in range(300):
        begun, target = draw_target(arm, rng), draw_target(arm, rng)
        rows = np.linspace(begun, target, 60)
        through += depth(arm, rows[[0, -1]]) <= 0.0 and depth(arm, rows) > 0.05
    assert through >= 10
