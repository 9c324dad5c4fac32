"""The twin as a environment: scenes from seeds, verdicts by the task's rule, the expert as a policy."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from evaluation.expert_policy import EXPERT_SPEC, ExpertPolicy
from evaluation.plans.plan import PolicyEntry, TwinSettings
from evaluation.plans.trial import Outcome, Start, Trial
from evaluation.policies import PlanPolicy
from evaluation.runner import Runner
from evaluation.stages.trial_environment import RobotEnvironment, TrialSkipped
from evaluation.stages.twin_environment import TwinEnvironment, house_setup
from evaluation.step import RunEnd
from robots.command import Done, MoveBase
from robots.embodiments.stretch_re1 import SPOC_ACTIONS
from robots.errors import SpecError
from robots.fakes.kinematic import FakeRobot
from simulation.episode import EpisodeSpec
from simulation.houses.seeds import house_seed
from simulation.task_registry import is_success

ROOT = Path(__file__).parents[2]
TRIAL = Trial(0, 0, "object_nav", "expert", 0, 40, house_seed=house_seed("test", 0))
STILL = TwinSettings(move_noise_m=0.0, turn_noise_deg=0.0)


@pytest.fixture(scope="module")
def environment() -> Iterator[TwinEnvironment]:
    with TwinEnvironment(STILL, (42, 72)) as environment:
        yield environment


def expert(environment: TwinEnvironment) -> PlanPolicy:
    return PlanPolicy.of(PolicyEntry("expert", expert=True), ExpertPolicy(environment.twin))


def test_a_perturbed_trial_is_of_the_same_episode_in_a_twin_that_differs(environment: TwinEnvironment) -> None:
    plain = environment.begin(TRIAL).episode
    setup = environment.begin(replace(TRIAL, perturb="drive=5"))
    assert setup.episode == {**plain, "perturb": "drive=5"}
    assert environment.twin.episode.perturb == "drive=5"


def test_a_scene_says_what_is_asked_where_and_how_long_an_expert_needs() -> None:
    setup = house_setup(TRIAL)
    episode = EpisodeSpec.from_json(setup.episode)
    assert (episode.house_seed, episode.max_steps, episode.task) == (TRIAL.house_seed, 40, "object_nav")
    assert (episode.instruction, episode.target) == (setup.instruction, setup.target)
    assert episode.expert_steps == setup.expert_steps
    assert setup.expert_steps is not None
    assert setup.target in setup.instruction


def test_the_experts_length_does_not_hang_on_how_short_the_trial_is() -> None:
    assert house_setup(replace(TRIAL, max_steps=2)).expert_steps == house_setup(TRIAL).expert_steps


def test_another_seed_asks_for_something_else_in_the_same_house() -> None:
    scenes = [house_setup(replace(TRIAL, seed=seed)) for seed in (0, 1)]
    assert scenes[0].episode["start"] != scenes[1].episode["start"]


def test_a_real_home_is_no_house_and_a_house_no_home() -> None:
    with pytest.raises(TrialSkipped, match="door: got a start in a real home, expected a simulated house"):
        house_setup(replace(TRIAL, house_seed=None, start=Start("door", "go")))
    with pytest.raises(TrialSkipped, match=r"house \d+: got a simulated house"):
        RobotEnvironment(FakeRobot(), name="fake", ask=None).begin(TRIAL)


def test_the_cameras_have_the_size_that_was_asked_for(environment: TwinEnvironment) -> None:
    environment.begin(TRIAL)
    assert environment.robot.observe().images["navigation"].shape == (42, 72, 3)


def test_done_far_from_the_target_is_a_failure_with_the_distance(environment: TwinEnvironment) -> None:
    environment.begin(TRIAL)
    verdict = environment.verdict(RunEnd("done", "", 1))
    assert verdict.outcome is (Outcome.SUCCESS if is_success(environment.twin) else Outcome.FAILURE)
    assert verdict.collisions == 0
    assert verdict.target_distance_m is not None
    assert verdict.target_distance_m > 0.3
    assert verdict.path == (pytest.approx(environment.pose()[:2], abs=0.001),)


def test_the_expert_runs_through_the_same_loop_and_the_rule_calls_it_a_success(environment: TwinEnvironment) -> None:
    setup = environment.begin(TRIAL)
    policy = expert(environment)
    end = environment.run(TRIAL, setup, policy, ())
    assert (end.reason, end.steps) == ("done", setup.expert_steps)
    verdict = environment.verdict(end)
    assert (verdict.outcome, verdict.target_visible) == (Outcome.SUCCESS, True)
    assert len(verdict.path) > 1


def test_being_near_the_target_is_no_success_unless_the_policy_says_done(environment: TwinEnvironment) -> None:
    setup = environment.begin(TRIAL)
    environment.run(TRIAL, setup, expert(environment), ())
    assert environment.verdict(RunEnd("max_steps", "", 40)).outcome is Outcome.FAILURE


def test_the_experts_decisions_name_the_policys_actions(environment: TwinEnvironment) -> None:
    environment.begin(TRIAL)
    session = ExpertPolicy(environment.twin).open(environment.robot.spec, "")
    binding = session.binding
    decision = session.act(environment.robot.observe())
    assert decision.action is not None
    assert decision.name == SPOC_ACTIONS.names[decision.action]
    assert decision.valid_for_s == EXPERT_SPEC.control_period_s
    assert isinstance(binding.command(SPOC_ACTIONS.index("move_ahead")), MoveBase)
    assert binding.command(SPOC_ACTIONS.index("done")) == Done()
    with pytest.raises(SpecError, match="expected an available action"):
        binding.command(99)
    Runner(environment.robot, session, max_steps=1).run()
    assert session.act(environment.robot.observe()).step == 2  # the loop asked once in between


def test_a_robots_computer_needs_neither_simulator_nor_onnxruntime_nor_torch_to_evaluate() -> None:
    code = """
import sys

class Nothing:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"torch", "onnxruntime", "fastapi", "mujoco", "jinja2", "scipy", "rclpy"}:
            raise ImportError(f"imported {name}")

sys.meta_path.insert(0, Nothing())
import evaluation.evaluate, evaluation.records.recorder, evaluation.stages.trial_environment
"""
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr
