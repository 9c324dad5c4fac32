from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from robots.drivers.stretch.base_speed_limit import WHEEL_SEPARATION_M, BaseSpeedLimit
from robots.embodiments.stretch_re1 import STRETCH_RE1

assert STRETCH_RE1.base is not None
BASE = STRETCH_RE1.base
STOWED = {"joint_lift": 0.2, "joint_arm": 0.0, "joint_wrist_yaw": 3.4}
SPEEDS = st.floats(-2.0, 2.0)


@pytest.mark.parametrize(
    ("joint", "position"), [("joint_lift", 0.3), ("joint_arm", 0.03), ("joint_wrist_yaw", 2.54), ("joint_lift", 1.0)]
)
def test_one_joint_out_of_its_place_makes_the_base_slow(joint: str, position: float) -> None:
    assert BaseSpeedLimit().wheel_speed(BASE, STOWED) == 0.3
    assert BaseSpeedLimit().wheel_speed(BASE, {**STOWED, joint: position}) == 0.1


def test_turn_on_the_spot() -> None:
    assert BaseSpeedLimit().turn_speed(BASE, STOWED) == 1.9  # the table's, just below the wheels' 1.903
    slow = BaseSpeedLimit().turn_speed(BASE, {**STOWED, "joint_lift": 0.5})
    assert slow == pytest.approx(0.634, abs=1e-3)  # 2 x 0.1 m/s over the wheel separation


def test_scaled_limit() -> None:
    assert BaseSpeedLimit().scaled(0.5).wheel_speed(BASE, {**STOWED, "joint_lift": 0.5}) == 0.05


@given(SPEEDS, SPEEDS, st.booleans())
def test_no_wheel_is_ever_too_fast(speed: float, turn: float, stowed: bool) -> None:
    positions = STOWED if stowed else {**STOWED, "joint_arm": 0.4}
    sent, turned = BaseSpeedLimit().twist(speed, turn, BASE, positions)
    assert abs(sent) + abs(turned) * WHEEL_SEPARATION_M / 2 <= (0.3 if stowed else 0.1) + 1e-9
    assert abs(turned) <= BASE.max_turn_radps + 1e-9
    assert sent * turn == pytest.approx(turned * speed, abs=1e-9)  # the curve stays the same
