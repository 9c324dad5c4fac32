"""Episode records and run folders made by hand, for tests of what reads them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from evaluation.plans.plan import Houses, Plan, PolicyEntry
from evaluation.plans.trial import Outcome, Trial
from evaluation.policies import PolicyIdentity
from evaluation.records.episode import Episode, Metrics, StepRecord
from evaluation.records.run_folder import RunFolder
from evaluation.stages.floor_map import Box, FloorMap, Room
from evaluation.stages.trial_setup import TrialSetup

FLOOR = FloorMap(
    bounds=(0.0, 0.0, 4.0, 3.0),
    rooms=(Room("kitchen 0", ((0.0, 0.0), (4.0, 0.0), (4.0, 3.0), (0.0, 3.0))),),
    boxes=(
        Box("wall", "wall_0", 2.0, 0.0, 2.0, 0.06, 0.0),
        Box("furniture", "side_table_0", 1.0, 1.0, 0.3, 0.3, 0.5),
        Box("object", "mug_0", 1.0, 1.0, 0.05, 0.05, 0.0),
        Box("target", "sofa_0", 3.0, 2.0, 0.9, 0.4, 1.57),
    ),
)
MANIFEST = {
    "name": "objectnav_mini",
    "graphs": {"policy": {"file": "policy.onnx", "sha256": "ab" * 32}},
    "provenance": {
        "git_commit": "c0ffee" + "0" * 34,
        "config_sha256": "d1" * 32,
        "algorithm": "behaviour cloning",
        "seed": 7,
        "steps": 12000,
        "command": "ferry train bc",
        "simulated": [
            {
                "task": "object_nav",
                "split": "val",
                "episodes": 200,
                "success": 0.64,
                "low": 0.571,
                "high": 0.703,
                "sampling": "greedy",
            }
        ],
    },
}
SHA256 = "5e" * 32
POLICIES = (
    PolicyIdentity("mini", "greedy", "policies/objectnav_stretch_mini", SHA256, MANIFEST),
    PolicyIdentity("random", "uniform", "policies/objectnav_stretch_mini", SHA256, MANIFEST),
)


def plan_of(name: str = "test houses", count: int = 4, robot: str = "twin") -> Plan:
    """A plan with a policy and a random one, in `count` houses."""
    policies = (
        PolicyEntry("mini", bundle="policies/objectnav_stretch_mini"),
        PolicyEntry("random", bundle="x", sampling="uniform"),
    )
    return Plan(name, policies, robot=robot, houses=Houses("test", 0, count), max_steps=50)  # type: ignore[arg-type]


def episode_of(trial: Trial, outcome: Outcome = Outcome.SUCCESS, **changes: object) -> Episode:
    """A record of a trial in the house of `FLOOR`."""
    success = outcome is Outcome.SUCCESS
    aborted = outcome is Outcome.ABORTED
    steps = 20 if success else 50
    episode = Episode(
        trial=trial,
        outcome=outcome,
        failure={"success": "", "failure": "timeout", "aborted": "policy failed"}.get(outcome.value, outcome.value),
        note="" if success else "nearest target 1.2 m away, in sight",
        scene=TrialSetup("find a sofa", "sofa", 16, FLOOR, {"house_seed": trial.house_seed}),
        metrics=Metrics(steps, 0, 2, 9.5, 16, None if aborted else 0.8 * success, 4.2, 2, 1.2),
        steps=(StepRecord("move_ahead", 0.91, True, timing_s={"observe": 0.01}),),
        path=((0.5, 0.5), (1.5, 0.5), (2.5, 1.5)),
        end="done" if success else "max_steps",
        bundle_sha256=SHA256,
        manifest="objectnav_mini",
        embodiment="stretch_re1",
        robot="twin",
        git_commit="abc",
        started="2026-11-21T12:00:00+00:00",
    )
    return replace(episode, **changes)  # type: ignore[arg-type]


def run_folder(
    home: Path, outcomes: dict[str, Sequence[Outcome | None]], plan: Plan | None = None, **changes: object
) -> RunFolder:
    """A folder with one record per policy and block; None is a trial that was not yet run."""
    plan = plan or plan_of(count=max(map(len, outcomes.values())))
    folder = RunFolder.open(home, plan, POLICIES)
    for trial in plan.trials():
        outcome = outcomes[trial.policy][trial.block]
        if outcome is not None:
            episode_of(trial, outcome, **changes).write(folder.trial(trial))
    return folder
