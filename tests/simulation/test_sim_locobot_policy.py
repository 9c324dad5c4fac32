"""The shipped Stretch policy on a LoCoBot: it binds and runs, and what the body lacks has probability exactly zero."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from policy_server.bundle import PolicyBundle
from policy_server.onnx.sampling import SAMPLINGS, Sampling, choose
from policy_server.onnx_policy import OnnxPolicy
from robots.binding import bind
from robots.command import MoveJoint
from robots.embodiments.locobot import LOCOBOT, TILT, locobot
from robots.errors import BindError
from simulation.robot_models.locobot import LOCOBOT_EYE
from simulation.tasks.object_nav import sample_episode
from simulation.twins.locobot import LocobotOptions, LocobotTwin

MINI = Path(__file__).parents[2] / "policies" / "objectnav_stretch_mini"


@pytest.fixture(scope="module")
def policy() -> OnnxPolicy:
    return OnnxPolicy(PolicyBundle.load(MINI, threads=1))


@pytest.fixture(scope="module")
def twin() -> Iterator[LocobotTwin]:
    with LocobotTwin(LocobotOptions()) as made:
        made.reset(sample_episode(3, 1, eye=LOCOBOT_EYE))
        yield made


def test_it_binds_with_ten_actions_and_one_camera_for_both_views(policy: OnnxPolicy) -> None:
    binding = bind(policy.bundle.manifest.spec, LOCOBOT)
    assert binding.mask.sum() == 10
    assert {name: camera for name, (camera, _) in binding.views.items()} == {
        "navigation": "navigation",
        "manipulation": "navigation",
    }
    names = policy.bundle.manifest.spec.actions.names  # type: ignore[union-attr]
    assert binding.command(names.index("move_arm_up")) == LOCOBOT.actions["move_arm_up"]


@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_masked_actions_have_probability_exactly_zero(
    policy: OnnxPolicy, twin: LocobotTwin, sampling: Sampling
) -> None:
    episode = policy.open(twin.spec, twin.episode.instruction, sampling=sampling, seed=1)
    masked = ~episode.binding.mask
    executed = None
    for _ in range(12):
        decision = episode.act(twin.observe(), executed)
        assert decision.probabilities is not None
        assert (np.asarray(decision.probabilities)[masked] == 0.0).all()
        assert np.asarray(decision.probabilities).sum() == pytest.approx(1.0, abs=1e-5)
        assert decision.name in twin.spec.actions
        sent = twin.execute(episode.binding.command(-1 if decision.action is None else decision.action))
        assert not sent.refused
        executed = decision.name if sent.executed else None


def test_however_sure_the_network_is_of_a_masked_action(policy: OnnxPolicy) -> None:
    binding, rng = bind(policy.bundle.manifest.spec, LOCOBOT), np.random.default_rng(0)
    for _ in range(200):
        logits = rng.normal(0.0, 3.0, 20).astype(np.float32)
        logits[~binding.mask] = 80.0  # all the weight on what a LoCoBot cannot do
        for sampling in ("greedy", "sample", "uniform"):
            action, probabilities = choose(binding.masked(logits), sampling, rng)
            assert binding.mask[action]
            assert (probabilities[~binding.mask] == 0.0).all()


def test_the_camera_slots_of_the_network_reach_the_twins_camera(policy: OnnxPolicy) -> None:
    body = locobot({"pickup": MoveJoint(TILT, 0.2), "dropoff": MoveJoint(TILT, -0.2)})
    binding = bind(policy.bundle.manifest.spec, body)
    names = policy.bundle.manifest.spec.actions.names  # type: ignore[union-attr]
    with LocobotTwin(LocobotOptions(camera_slots=f"pickup:{TILT}:0.2,dropoff:{TILT}:-0.2")) as twin:
        twin.reset(sample_episode(3, 1, eye=LOCOBOT_EYE))
        twin.execute(binding.command(names.index("pickup")))
        assert twin.world.joints[TILT] == pytest.approx(0.2)
        twin.execute(binding.command(names.index("dropoff")))
        assert twin.world.joints[TILT] == pytest.approx(0.0)
    assert not binding.mask[names.index("move_arm_up")]


def test_a_bare_d435_does_not_bind_to_a_policy_of_the_stretch(policy: OnnxPolicy) -> None:
    with pytest.raises(
        BindError, match=r"field of view of camera 'navigation' of locobot .* got 42.5 degrees"
    ) as error:
        bind(policy.bundle.manifest.spec, locobot(image_fov_deg=42.5))
    assert error.value.code == "field_of_view"
    adapted = tuple(replace(camera, vertical_fov_deg=42.5) for camera in policy.bundle.manifest.spec.cameras)
    bind(replace(policy.bundle.manifest.spec, cameras=adapted), locobot(image_fov_deg=42.5))
