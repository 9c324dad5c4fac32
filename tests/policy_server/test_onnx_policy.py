"""A bundle as a policy, without a server: order of actions, feedback, refusals."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from bundles import SCRIPT, tiny_body, tiny_observation, write_tiny_bundle

from policy_server.bundle import PolicyBundle
from policy_server.errors import NotFinite, SessionError, WireError
from policy_server.graph_inputs import PreviousActionInput
from policy_server.onnx_policy import OnnxPolicy, OnnxSession
from robots.errors import BindError
from robots.observation import Observation


@pytest.fixture
def policy(tmp_path: Path) -> OnnxPolicy:
    write_tiny_bundle(tmp_path, horizon=8)
    return OnnxPolicy(PolicyBundle.load(tmp_path, threads=1))


def probabilities(episode: OnnxSession, observation: Observation, executed: str | None = None) -> np.ndarray:
    got = episode.act(observation, executed).probabilities
    assert got is not None
    return got


def test_it_follows_its_script(policy: OnnxPolicy) -> None:
    episode = policy.open(tiny_body(), "find a mug")
    executed = None
    for step in range(8):
        decision = episode.act(tiny_observation(stamp_ns=step + 5), executed)
        assert (decision.step, decision.stamp_ns) == (step, step + 5)
        assert decision.name == SCRIPT[step % len(SCRIPT)]
        assert decision.action is not None
        assert episode.names[decision.action] == decision.name
        assert decision.valid_for_s == 1.0
        assert decision.timing_s.keys() == {"preprocess", "inference", "total"}
        executed = decision.name
    with pytest.raises(SessionError, match="got decision 9, expected at most 8 in an episode") as error:
        episode.act(tiny_observation(), executed)
    assert (error.value.code, error.value.status) == ("horizon_exceeded", 410)


@pytest.mark.parametrize("changed", [tiny_observation(brightness=200), tiny_observation(in_hand=1.0)])
def test_what_it_senses_matters(policy: OnnxPolicy, changed: Observation) -> None:
    body = tiny_body()
    before = probabilities(policy.open(body, "find a mug"), tiny_observation())
    assert not np.array_equal(before, probabilities(policy.open(body, "find a mug"), changed))
    assert not np.array_equal(before, probabilities(policy.open(body, "find a bed"), tiny_observation()))


def test_what_was_executed_matters(policy: OnnxPolicy) -> None:
    answers = []
    for executed in ("move_ahead", "move_back", None):
        episode = policy.open(tiny_body(), "find a mug")
        episode.act(tiny_observation())
        answers.append(probabilities(episode, tiny_observation(), executed))
    assert not np.array_equal(answers[0], answers[1])
    assert not np.array_equal(answers[0], answers[2])


def test_a_policy_without_a_blocked_token_gets_what_was_tried(policy: OnnxPolicy) -> None:
    manifest = policy.bundle.manifest
    inputs = [replace(one, blocked=None) if isinstance(one, PreviousActionInput) else one for one in manifest.inputs]
    manifest = replace(manifest, inputs=tuple(inputs))
    policy = OnnxPolicy(replace(policy.bundle, manifest=manifest))
    blocked, tried = policy.open(tiny_body(), "find a mug"), policy.open(tiny_body(), "find a mug")
    name = blocked.act(tiny_observation()).name
    tried.act(tiny_observation())
    np.testing.assert_array_equal(
        probabilities(blocked, tiny_observation(), None), probabilities(tried, tiny_observation(), name)
    )


def test_an_unknown_executed_action_is_refused(policy: OnnxPolicy) -> None:
    episode = policy.open(tiny_body(), "find a mug")
    episode.act(tiny_observation())
    with pytest.raises(WireError, match="executed: got 'fly'"):
        episode.act(tiny_observation(), "fly")


def test_a_refused_observation_changes_nothing(policy: OnnxPolicy) -> None:
    episode, other = policy.open(tiny_body(), "find a mug"), policy.open(tiny_body(), "find a mug")
    with pytest.raises(WireError, match=r"policy state 'in_hand': got 2\.0"):
        episode.act(tiny_observation(in_hand=2.0))
    with pytest.raises(WireError, match=r"observation images: got .+"):
        episode.act(replace(tiny_observation(), images={}))
    with pytest.raises(WireError, match="observation state: got missing hand"):
        episode.act(replace(tiny_observation(), state={}))
    with pytest.raises(WireError, match=r"got shape \(2, 2, 3\)") as error:
        episode.act(
            replace(tiny_observation(), images=dict.fromkeys(tiny_observation().images, np.zeros((2, 2, 3), np.uint8)))
        )
    assert error.value.code == "image_size"
    np.testing.assert_array_equal(probabilities(episode, tiny_observation()), probabilities(other, tiny_observation()))


def test_nan_is_an_error_and_not_an_action(tmp_path: Path) -> None:
    write_tiny_bundle(tmp_path, nan_at_step=1)
    episode = OnnxPolicy(PolicyBundle.load(tmp_path)).open(tiny_body(), "find a mug")
    episode.act(tiny_observation())
    with pytest.raises(NotFinite, match="logits: got NaN or infinity, expected finite numbers at step 1"):
        episode.act(tiny_observation(), "move_ahead")
    assert episode.step == 1


def test_actions_the_body_lacks_are_masked(policy: OnnxPolicy) -> None:
    body = tiny_body()
    body = body.without("move_ahead")
    decision = policy.open(body, "find a mug").act(tiny_observation())
    assert decision.name != "move_ahead"
    assert decision.probabilities is not None
    assert decision.probabilities[0] == 0.0


def test_uniform_needs_no_network(tmp_path: Path) -> None:
    write_tiny_bundle(tmp_path, nan_at_step=0)
    policy = OnnxPolicy(PolicyBundle.load(tmp_path))
    got = probabilities(policy.open(tiny_body(), "find a mug", sampling="uniform"), tiny_observation())
    np.testing.assert_allclose(got, np.full(20, 0.05), rtol=1e-6)


def test_seeds_repeat(policy: OnnxPolicy) -> None:
    def names(seed: int) -> list[str]:
        episode = policy.open(tiny_body(), "find a mug", sampling="uniform", seed=seed)
        return [episode.act(tiny_observation()).name for _ in range(8)]

    assert names(1) == names(1) != names(2)


def test_larger_cameras_are_resized(policy: OnnxPolicy) -> None:
    images = {name: np.full((168, 288, 3), 100, np.uint8) for name in ("navigation", "manipulation")}
    large = policy.open(tiny_body(168, 288), "find a mug")
    np.testing.assert_allclose(
        probabilities(large, replace(tiny_observation(), images=images)),
        probabilities(policy.open(tiny_body(), "find a mug"), tiny_observation()),
        rtol=1e-5,
    )


def test_a_body_that_does_not_fit_is_refused(policy: OnnxPolicy) -> None:
    with pytest.raises(BindError, match="got no 'manipulation'") as error:
        policy.open(tiny_body().with_cameras(tiny_body().cameras[0]), "find a mug")
    assert error.value.code == "camera"
