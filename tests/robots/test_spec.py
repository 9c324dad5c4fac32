"""Specs check values, refuse nonsense and survive JSON."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from robots.errors import SpecError
from robots.spec import CameraInput, CameraSpec, ContinuousActions, DiscreteActions, PolicySpec, VectorSpec

IN_HAND = VectorSpec(("in_hand",), ("bool",), (0.0,), (1.0,))
CAMERA = CameraInput("navigation", 84, 144, 59.0)


def discrete_policy(**overrides: object) -> PolicySpec:
    values = {
        "cameras": (CAMERA,),
        "state": IN_HAND,
        "actions": DiscreteActions(("move_ahead", "done")),
        "horizon": 200,
        "control_period_s": 0.5,
    }
    return PolicySpec(**{**values, **overrides})


def test_a_camera_checks_shape_and_dtype() -> None:
    camera = CameraSpec("navigation", 84, 144, 59.0)
    camera.check(np.zeros((84, 144, 3), np.uint8))
    with pytest.raises(SpecError, match=r"got shape \(84, 145, 3\)"):
        camera.check(np.zeros((84, 145, 3), np.uint8))
    with pytest.raises(SpecError, match="got dtype float32, expected dtype uint8"):
        camera.check(np.zeros((84, 144, 3), np.float32))


@pytest.mark.parametrize(("height", "width", "fov"), [(0, 10, 59.0), (10, 0, 59.0), (10, 10, 0.0), (10, 10, 180.0)])
def test_an_impossible_camera_is_refused(height: int, width: int, fov: float) -> None:
    with pytest.raises(SpecError, match="camera 'x'"):
        CameraSpec("x", height, width, fov)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -0.1, 1.1])
def test_a_vector_names_the_entry_that_is_out_of_range(value: float) -> None:
    with pytest.raises(SpecError, match=r"state 'in_hand': got .*"):
        IN_HAND.check(np.array([value], np.float32), "state")


def test_a_vector_of_another_length_is_refused() -> None:
    with pytest.raises(SpecError, match=r"got shape \(2,\)"):
        IN_HAND.check(np.zeros(2, np.float32))


@pytest.mark.parametrize(
    "fields",
    [
        (("a", "a"), ("m", "m"), (0.0, 0.0), (1.0, 1.0)),
        (("a",), ("m", "m"), (0.0,), (1.0,)),
        (("a",), ("m",), (1.0,), (0.0,)),
    ],
)
def test_a_vector_spec_must_make_sense(fields: tuple) -> None:
    with pytest.raises(SpecError):
        VectorSpec(*fields)


def test_actions_know_their_index() -> None:
    actions = DiscreteActions(("move_ahead", "done"))
    assert actions.index("done") == 1
    with pytest.raises(SpecError, match="got 'fly', expected one of move_ahead, done"):
        actions.index("fly")
    with pytest.raises(SpecError, match="no name twice"):
        DiscreteActions(("done", "done"))


def test_a_policy_spec_survives_json() -> None:
    spec = discrete_policy()
    assert PolicySpec.from_json(json.loads(json.dumps(spec.to_json()))) == spec


@given(
    horizon=st.integers(1, 50),
    period=st.floats(0.01, 2.0),
    bounds=st.lists(st.tuples(st.floats(-10, 0), st.floats(0, 10)), min_size=1, max_size=7),
)
def test_a_chunk_policy_survives_json(horizon: int, period: float, bounds: list[tuple[float, float]]) -> None:
    names = tuple(f"joint_{i}" for i in range(len(bounds)))
    low, high = zip(*bounds)
    chunk = ContinuousActions(VectorSpec(names, ("rad",) * len(names), low, high), horizon, period, (horizon + 1) // 2)
    spec = discrete_policy(actions=chunk)
    assert PolicySpec.from_json(json.loads(json.dumps(spec.to_json()))) == spec


def test_a_policy_spec_that_lacks_a_field_says_so() -> None:
    data = discrete_policy().to_json()
    del data["horizon"]
    with pytest.raises(SpecError, match="policy spec: got no 'horizon'"):
        PolicySpec.from_json(data)
    with pytest.raises(SpecError, match=r"actions.kind: got 'telepathy'"):
        PolicySpec.from_json({**discrete_policy().to_json(), "actions": {"kind": "telepathy"}})


@pytest.mark.parametrize("overrides", [{"horizon": 0}, {"control_period_s": 0.0}, {"cameras": (CAMERA, CAMERA)}])
def test_a_policy_spec_must_make_sense(overrides: dict) -> None:
    with pytest.raises(SpecError):
        discrete_policy(**overrides)


@pytest.mark.parametrize("rows", [0, 4])
def test_no_more_rows_are_executed_than_a_chunk_has(rows: int) -> None:
    with pytest.raises(SpecError, match=f"chunk execute_rows: got {rows}, expected 1 to 3, the horizon, or null"):
        ContinuousActions(VectorSpec(("x",), ("m",), (0.0,), (1.0,)), 3, 0.1, rows)


def test_a_chunk_needs_a_horizon_and_a_period() -> None:
    with pytest.raises(SpecError, match="horizon >= 1"):
        ContinuousActions(IN_HAND, 0, 0.1)
