"""`bind` is the sim-to-real contract: what fits works, what does not fit says which part."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from robots.binding import bind
from robots.command import Chunk, Done, MoveBase, MoveJoint
from robots.embodiment import Embodiment, JointLimits
from robots.embodiments.stretch_re1 import ACTIONS, JOINTS, SPOC_ACTIONS, STATE, STRETCH_RE1
from robots.errors import BindError, SpecError
from robots.limits import limit
from robots.observation import Observation
from robots.spec import CameraInput, CameraSpec, ContinuousActions, DiscreteActions, PolicySpec, VectorSpec

POLICY = PolicySpec(
    cameras=(CameraInput("navigation", 84, 144, 59.0), CameraInput("manipulation", 84, 144, 59.0)),
    state=VectorSpec(("in_hand",), ("bool",), (0.0,), (1.0,)),
    actions=SPOC_ACTIONS,
    horizon=200,
    control_period_s=0.5,
)
MIDDLE = {name: (limits.low + limits.high) / 2 for name, limits in JOINTS.items()}
MAY_BE_ABSENT = [name for name in SPOC_ACTIONS.names if name != "done"]
LOGITS = arrays(np.float32, len(SPOC_ACTIONS.names), elements=st.floats(-50, 50, width=32))


def observation(height: int = 720, width: int = 1280, in_hand: float = 0.0) -> Observation:
    image = np.full((height, width, 3), 7, np.uint8)
    state = {"joints": np.zeros(6, np.float32), "hand": np.array([in_hand], np.float32)}
    return Observation(1, {"navigation": image, "manipulation": image}, state, "find a mug")


def without(*names: str) -> Embodiment:
    return STRETCH_RE1.without(*names)


def test_the_stretch_has_every_spoc_action() -> None:
    binding = bind(POLICY, STRETCH_RE1)
    assert binding.mask.all()
    assert [binding.command(i) for i in range(20)] == list(ACTIONS.values())


def test_identity_is_a_no_op_on_logits() -> None:
    logits = np.linspace(-3, 3, 20, dtype=np.float32)
    np.testing.assert_array_equal(bind(POLICY, STRETCH_RE1).masked(logits), logits)


def test_images_are_cropped_and_resized_to_the_policy() -> None:
    images = bind(POLICY, STRETCH_RE1).images(observation())
    assert {name: image.shape for name, image in images.items()} == {
        "navigation": (84, 144, 3),
        "manipulation": (84, 144, 3),
    }


def test_state_is_found_by_name_whatever_its_group() -> None:
    np.testing.assert_array_equal(bind(POLICY, STRETCH_RE1).state(observation(in_hand=1.0)), [1.0])
    wanted = VectorSpec(("joint_arm", "in_hand"), ("m", "bool"), (0.0, 0.0), (1.0, 1.0))
    binding = bind(replace(POLICY, state=wanted), STRETCH_RE1)
    assert binding.state_sources == (("joints", 1), ("hand", 0))


def test_state_outside_the_policys_range_is_refused() -> None:
    with pytest.raises(SpecError, match=r"policy state 'in_hand': got 2.0"):
        bind(POLICY, STRETCH_RE1).state(observation(in_hand=2.0))


def test_a_missing_camera_is_named() -> None:
    blind = STRETCH_RE1.with_cameras(STRETCH_RE1.cameras[0])
    with pytest.raises(BindError) as error:
        bind(POLICY, blind)
    assert str(error.value) == (
        "camera of stretch_re1: got no 'manipulation', expected 'manipulation'; available: navigation"
    )
    assert error.value.code == "camera"


def test_a_camera_can_stand_in_for_another_by_name() -> None:
    body = replace(STRETCH_RE1.with_cameras(CameraSpec("head", 720, 1280, 59.0)), camera_views={})
    with pytest.raises(BindError):
        bind(POLICY, body)
    body = replace(body, camera_views={"navigation": "head", "manipulation": "head"})
    assert bind(POLICY, body).views["navigation"][0] == "head"


def test_a_camera_with_another_field_of_view_is_refused() -> None:
    body = STRETCH_RE1.with_cameras(*(replace(camera, vertical_fov_deg=80.0) for camera in STRETCH_RE1.cameras))
    with pytest.raises(BindError, match=r"got 80.0 degrees") as error:
        bind(POLICY, body)
    assert error.value.code == "field_of_view"


def test_the_crop_counts_for_the_field_of_view() -> None:
    body = STRETCH_RE1.with_cameras(*(replace(camera, height=480, width=640) for camera in STRETCH_RE1.cameras))
    with pytest.raises(BindError, match=r"after the crop: got 47.5 degrees"):
        bind(POLICY, body)


def test_a_missing_state_is_named() -> None:
    body = replace(STRETCH_RE1, state={"joints": STATE["joints"]})
    with pytest.raises(BindError, match="got no 'in_hand'"):
        bind(POLICY, body)


def test_a_state_in_another_unit_is_refused() -> None:
    body = replace(STRETCH_RE1, state={"hand": VectorSpec(("in_hand",), ("percent",), (0.0,), (100.0,))})
    with pytest.raises(BindError, match="got percent, expected bool"):
        bind(POLICY, body)


def test_a_misspelt_action_is_never_masked_in_silence() -> None:
    with pytest.raises(BindError, match="got no 'move_ahed'"):
        bind(replace(POLICY, actions=DiscreteActions(("move_ahed", "done"))), STRETCH_RE1)


def test_a_policy_that_cannot_end_is_refused() -> None:
    with pytest.raises(BindError, match="action that ends an episode on stretch_re1: got none in move_ahead, sub_done"):
        bind(replace(POLICY, actions=DiscreteActions(("move_ahead", "sub_done"))), STRETCH_RE1)
    with pytest.raises(BindError, match="action that ends an episode"):
        bind(POLICY, without("done"))


@given(logits=LOGITS, absent=st.sets(st.sampled_from(MAY_BE_ABSENT)))
def test_masked_actions_have_probability_exactly_zero(logits: np.ndarray, absent: set[str]) -> None:
    binding = bind(POLICY, without(*absent))
    masked = binding.masked(logits)
    exponents = np.exp(masked - masked.max())
    probabilities = exponents / exponents.sum()
    for index, name in enumerate(SPOC_ACTIONS.names):
        if name in absent:
            assert probabilities[index] == 0.0
            with pytest.raises(SpecError, match="an available action of stretch_re1"):
                binding.command(index)
        else:
            assert masked[index] == logits[index]


@given(absent=st.sets(st.sampled_from(MAY_BE_ABSENT)))
def test_every_unmasked_action_yields_a_command_within_the_limits(absent: set[str]) -> None:
    binding = bind(POLICY, without(*absent))
    for index in np.flatnonzero(binding.mask):
        assert not limit(binding.command(int(index)), STRETCH_RE1, MIDDLE).refused


def test_a_slot_can_be_remapped_by_name() -> None:
    tilt = MoveJoint("joint_head_tilt", 0.5)
    masked = tuple(name for name in SPOC_ACTIONS.names if name not in ("rotate_left_small", "done"))
    body = replace(STRETCH_RE1, actions={"rotate_left_small": tilt, "done": Done()}, masked=masked)
    binding = bind(POLICY, body)
    assert binding.command(SPOC_ACTIONS.index("rotate_left_small")) == tilt
    assert binding.mask.sum() == 2


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_logit_that_is_not_finite_is_refused_unless_masked(bad: float) -> None:
    logits = np.zeros(20, np.float32)
    logits[3] = bad
    with pytest.raises(SpecError, match="NaN or infinity"):
        bind(POLICY, STRETCH_RE1).masked(logits)
    assert bind(POLICY, without("move_back")).masked(logits)[3] == -np.inf


def test_logits_of_another_count_are_refused() -> None:
    with pytest.raises(SpecError, match=r"got shape \(7,\), expected shape \(20,\)"):
        bind(POLICY, STRETCH_RE1).masked(np.zeros(7, np.float32))


@pytest.mark.parametrize("action", [-1, 20])
def test_an_action_out_of_range_is_refused(action: int) -> None:
    with pytest.raises(SpecError):
        bind(POLICY, STRETCH_RE1).command(action)


def test_an_observation_without_the_camera_is_refused() -> None:
    with pytest.raises(SpecError, match="expected camera 'navigation'"):
        bind(POLICY, STRETCH_RE1).images(Observation(0, {}))


def test_a_robot_whose_views_were_applied_beside_it_gives_the_same_images_without_a_crop() -> None:
    binding = bind(POLICY, STRETCH_RE1)
    viewed = binding.viewed_body
    again = bind(POLICY, viewed)
    seen = binding.images(observation())
    assert all(view.crop == (0, 0, view.height, view.width) for _, view in again.views.values())
    assert [(camera.name, camera.height) for camera in viewed.cameras] == [(c.name, c.height) for c in POLICY.cameras]
    for name, image in again.images(replace(observation(), images=seen)).items():
        np.testing.assert_array_equal(image, seen[name])
    assert replace(viewed, cameras=STRETCH_RE1.cameras) == replace(STRETCH_RE1, camera_views={})


@pytest.mark.parametrize(
    ("state", "message"),
    [({}, "got \\[\\], expected group 'hand'"), ({"hand": np.zeros(2, np.float32)}, r"state 'hand': got shape \(2,\)")],
)
def test_an_observation_with_another_state_is_refused(state: dict, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        bind(POLICY, STRETCH_RE1).state(replace(observation(), state=state))


CHUNK = ContinuousActions(VectorSpec(("j1", "j2"), ("rad", "rad"), (-1.0, -1.0), (1.0, 1.0)), horizon=3, period_s=0.05)
ARM = Embodiment("arm", (), {}, {}, {"j1": JointLimits(-1, 1, 1), "j2": JointLimits(-1, 1, 1)}, chunks=(CHUNK.vector,))
ARM_POLICY = PolicySpec((), VectorSpec((), (), (), ()), CHUNK, 100, 0.15)


def test_a_chunk_becomes_one_command() -> None:
    rows = np.array([[0.0, 0.5], [0.25, 0.5]], np.float32)
    assert bind(ARM_POLICY, ARM).chunk(rows) == Chunk(("j1", "j2"), ((0.0, 0.5), (0.25, 0.5)), 0.05)


def test_only_the_rows_to_execute_become_a_command_and_all_are_checked() -> None:
    binding = bind(replace(ARM_POLICY, actions=replace(CHUNK, execute_rows=2)), ARM)
    rows = np.array([[0.0, 0.5], [0.25, 0.5], [0.5, 0.5]], np.float32)
    assert binding.chunk(rows).rows == ((0.0, 0.5), (0.25, 0.5))
    rows[2, 1] = np.nan
    with pytest.raises(SpecError, match="chunk 'j2'"):
        binding.chunk(rows)


def test_a_chunk_has_between_one_row_and_the_horizon() -> None:
    for rows in (0, CHUNK.horizon + 1):
        with pytest.raises(SpecError, match=f"chunk: got {rows} rows, expected 1 to {CHUNK.horizon}"):
            bind(ARM_POLICY, ARM).chunk(np.zeros((rows, 2), np.float32))


def test_a_chunk_beyond_its_bounds_or_nan_is_refused() -> None:
    assert bind(ARM_POLICY, ARM).chunk(np.array([[0.0, 1.04]], np.float32)).rows[0][1] > 1.0  # the robot clips it
    for bad in (1.2, np.nan):
        with pytest.raises(SpecError, match="chunk 'j2'"):
            bind(ARM_POLICY, ARM).chunk(np.array([[0.0, bad]], np.float32))


def test_a_chunk_for_other_joints_is_refused_never_zipped_by_position() -> None:
    swapped = replace(ARM, chunks=(VectorSpec(("j2", "j1"), ("rad", "rad"), (-1.0, -1.0), (1.0, 1.0)),))
    with pytest.raises(BindError, match=r"\('j2', 'j1'\)"):
        bind(ARM_POLICY, swapped)
    with pytest.raises(BindError, match="got discrete actions only"):
        bind(ARM_POLICY, STRETCH_RE1)


def test_a_discrete_policy_has_no_chunk() -> None:
    with pytest.raises(SpecError, match="got discrete, expected continuous"):
        bind(POLICY, STRETCH_RE1).chunk(np.zeros((1, 2), np.float32))
    assert isinstance(bind(POLICY, STRETCH_RE1).command(0), MoveBase)
