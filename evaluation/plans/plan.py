"""An evaluation plan: which policies, where, how often. A YAML file whose grammar is the dataclasses below."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from evaluation.errors import PlanError
from evaluation.plans.structure import Place, build
from evaluation.plans.trial import Start, Trial
from evaluation.plans.yaml_lines import read_yaml

RobotKind = Literal["twin", "ros", "fake"]
TaskName = Literal[
    "object_nav", "pick_up", "fetch", "room_visit", "room_nav", "object_nav_rel_attr", "object_nav_afford"
]
"""As `simulation.task_registry.TASKS` has them."""


@dataclass(frozen=True)
class Houses:
    """Simulated houses: `count` of a split from index `start` on, or those of `seeds`."""

    split: Literal["train", "val", "test"] = "test"
    start: int = 0
    count: int = 0
    seeds: tuple[int, ...] = ()


@dataclass(frozen=True)
class PolicyEntry:
    """A policy under test: a `bundle` folder run in this process, a `server` URL, or the simulator's `expert`.

    `sampling` "uniform" draws among the body's actions whatever the network says: the random baseline.
    """

    name: str
    bundle: str | None = None
    server: str | None = None
    expert: bool = False
    sampling: Literal["greedy", "sample", "uniform"] = "greedy"


@dataclass(frozen=True)
class TwinSettings:
    """How the simulated body behaves; the names are those of `simulation.twins.house_twin.TwinOptions`.

    The cameras have the size the policy takes. `body` says whose twin it is. With `grasp: physics` fingers have to hold
    what they close on; reports show then also what would have been a success without that.
    """

    body: Literal["stretch_re1", "locobot"] = "stretch_re1"
    grasp: Literal["sphere", "physics"] = "sphere"
    move_noise_m: float = 0.01
    turn_noise_deg: float = 0.5
    randomise_cameras: bool = False
    randomise_appearance: bool = False


@dataclass(frozen=True)
class Plan:
    """What is evaluated.

    Attributes:
        name: of the evaluation, for the report.
        policies: each is tried at every place.
        robot: "twin" in this process, "ros" for the body behind ROS topics, "fake" for a rehearsal without either.
        seed: of everything random.
        tasks: each is tried at every place.
        houses: where in simulation; either this, or `starts`, or `episodes`.
        starts: where in a real home.
        episodes: instead of tasks and houses: the fields of an `EpisodeSpec` of each. In the file it is the name of a
            file in CHORES' form.
        repeats: trials of each policy at each place.
        max_steps: decisions in a trial; 600 is that of CHORES ObjectNav.
        baseline: name of the policy that the others are compared with; empty for the first uniform one.
        twin: how the simulated body behaves.
    """

    name: str
    policies: tuple[PolicyEntry, ...]
    robot: RobotKind = "twin"
    seed: int = 0
    tasks: tuple[TaskName, ...] = ("object_nav",)
    houses: Houses | None = None
    starts: tuple[Start, ...] = ()
    episodes: tuple[Mapping[str, Any], ...] = ()
    repeats: int = 1
    max_steps: int = 600
    baseline: str = ""
    twin: TwinSettings = TwinSettings()

    @property
    def sha256(self) -> str:
        """Names what the plan says, whatever its file looks like; the same as before there were `_LATER`'s keys."""
        said = {**asdict(self), "twin": _without(asdict(self.twin), _LATER["twin"])}
        return hashlib.sha256(json.dumps(_without(said, _LATER["plan"]), sort_keys=True).encode()).hexdigest()

    def policy(self, name: str) -> PolicyEntry:
        """The policy of that name."""
        return next(one for one in self.policies if one.name == name)

    def trials(self) -> tuple[Trial, ...]:
        """Every trial in the order it is run: block by block, the policies of a block in an order drawn by the seed."""
        return tuple(replace(trial, index=index) for index, trial in enumerate(self._trials()))

    def _trials(self) -> Iterator[Trial]:
        scenes = [scene for repeat in range(self.repeats) for scene in self._scenes(repeat)]
        for block, scene in enumerate(scenes):
            order = np.random.default_rng([self.seed, block]).permutation(len(self.policies))
            for policy in order:
                yield replace(scene, block=block, policy=self.policies[policy].name)

    def _scenes(self, repeat: int) -> Iterator[Trial]:
        """A trial of nobody for each task at each place."""
        any_one = Trial(0, 0, "", "", self.seed + repeat, self.max_steps)
        for one in self.episodes:
            steps = min(self.max_steps, int(one.get("max_steps", self.max_steps)))
            trial = replace(any_one, task=one["task"], house_seed=one["house_seed"], max_steps=steps)
            yield replace(trial, seed=int(one["seed"]) + repeat, episode=json.dumps(one))
        for task in () if self.episodes else self.tasks:
            yield from (replace(any_one, task=task, house_seed=house) for house in self._house_seeds())
            yield from (replace(any_one, task=task, start=start) for start in self.starts)

    def _house_seeds(self) -> tuple[int, ...]:
        if self.houses is None or self.houses.seeds:
            return self.houses.seeds if self.houses else ()
        from simulation.houses.seeds import house_seed  # a real home needs no simulation

        first = self.houses.start
        return tuple(house_seed(self.houses.split, index) for index in range(first, first + self.houses.count))


def read_plan(path: Path) -> Plan:
    """The plan in a YAML file; PlanError says file, line, got, expected and the nearest known key."""
    data, place = read_yaml(path), Place(path.name, error=PlanError)
    if isinstance(data, dict) and isinstance(data.get("episodes"), str):
        data["episodes"] = _read_episodes(data["episodes"], place.key(data, "episodes"))
    plan: Plan = build(Plan, data, place)
    _check(plan, data if isinstance(data, Mapping) else {}, place)
    return plan


def _check(plan: Plan, data: Mapping[str, object], place: Place) -> None:
    """What the grammar cannot say."""
    for name in ("repeats", "max_steps"):
        if getattr(plan, name) < 1:
            raise place.key(data, name).wrong(getattr(plan, name), "at least 1")
    if plan.seed < 0:
        raise place.key(data, "seed").wrong(plan.seed, "at least 0")
    if not plan.name.strip():
        raise place.key(data, "name").wrong("nothing", "a name")
    where = [name for name in ("houses", "starts", "episodes") if getattr(plan, name)]
    if len(where) != 1:
        raise place.wrong(" and ".join(where) or "none of them", "one of 'houses', 'starts' and 'episodes'")
    if plan.episodes and "tasks" in data:
        raise place.key(data, "tasks").wrong("tasks beside episodes", "no 'tasks': each episode says its own")
    if plan.robot == "twin" and plan.starts:
        raise place.key(data, "starts").wrong("starts for the twin", "'houses' (starts are for a real home)")
    if plan.robot == "twin" and plan.twin.body != "stretch_re1":
        _check_body(plan, place.key(data, "tasks"))
    if plan.houses is not None:
        _check_houses(plan.houses, place.key(data, "houses"))
    _check_policies(plan, data, place.key(data, "policies"))
    names = [one.name for one in plan.policies]
    if plan.baseline and plan.baseline not in names:
        raise place.key(data, "baseline").wrong(f"'{plan.baseline}'", f"one of {', '.join(names)}")


def _check_body(plan: Plan, place: Place) -> None:
    from simulation.errors import EpisodeError
    from simulation.task_registry import check_tasks
    from simulation.twins.registry import make_twin

    try:
        check_tasks({trial.task for trial in plan.trials()}, make_twin(plan.twin.body).spec)
    except EpisodeError as error:
        raise place.wrong(error.got, error.expected) from error


def _read_episodes(name: str, place: Place) -> list[dict[str, Any]]:
    """The episodes in a file in CHORES' form, as JSON values."""
    from simulation.chores.episode_file import read_episodes  # a real home needs no simulation
    from simulation.errors import SimulationError

    try:
        return [one.to_json() for one in read_episodes(Path(name))]
    except (OSError, SimulationError) as error:
        raise place.wrong(str(error), "a .jsonl or .jsonl.gz file of episodes in CHORES' form") from error


_LATER: Mapping[str, Mapping[str, object]] = {
    "plan": {"episodes": ()},
    "twin": {"body": "stretch_re1", "grasp": "sphere"},
}
"""Keys that came later, and what was so before: evaluations that were begun then go on."""


def _without(data: Mapping[str, Any], usual: Mapping[str, object]) -> dict[str, Any]:
    """`data` less what it says as usual."""
    return {name: value for name, value in data.items() if name not in usual or usual[name] != value}


def _check_houses(houses: Houses, place: Place) -> None:
    if houses.start < 0 or houses.count < 0 or any(seed < 0 for seed in houses.seeds):
        raise place.wrong("a negative number", "numbers from 0")
    if bool(houses.count) == bool(houses.seeds):
        raise place.wrong("both" if houses.seeds else "neither", "either 'count' or 'seeds'")
    if len(set(houses.seeds)) != len(houses.seeds):
        raise place.wrong("a seed twice", "each seed once ('repeats' plays a house again)")


def _check_policies(plan: Plan, data: Mapping[str, object], place: Place) -> None:
    if not plan.policies:
        raise place.wrong("no policy", "at least one")
    seen: set[str] = set()
    for index, one in enumerate(plan.policies):
        here = place.item(data["policies"], index)
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", one.name):
            raise here.wrong(f"name '{one.name}'", "letters, digits, '_', '.' and '-'")
        if one.name in seen:
            raise here.wrong(f"name '{one.name}' twice", "a name of its own for each policy")
        seen.add(one.name)
        if (one.bundle is not None) + (one.server is not None) + one.expert != 1:
            raise here.wrong(f"policy '{one.name}' with none or several", "one of 'bundle', 'server', 'expert: true'")
        if one.expert and plan.robot != "twin":
            raise here.wrong(f"the expert on robot '{plan.robot}'", "robot 'twin': it looks at the simulator's truth")
