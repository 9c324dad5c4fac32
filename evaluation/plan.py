"""An evaluation plan: which policies, where, how often. A YAML file whose grammar is the dataclasses below."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from evaluation.errors import PlanError
from evaluation.lines import read_yaml
from evaluation.structure import Place, build
from evaluation.trial import Start, Trial

RobotKind = Literal["twin", "ros", "fake"]


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
    """How the simulated body behaves; the names are those of `simulation.twin.TwinOptions`.

    The cameras have the size the policy takes.
    """

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
        tasks: e.g. "object_nav".
        houses: where in simulation; either this or `starts`.
        starts: where in a real home.
        repeats: trials of each policy at each place.
        max_steps: decisions in a trial; 600 is that of CHORES ObjectNav.
        baseline: name of the policy that the others are compared with; empty for the first uniform one.
        twin: how the simulated body behaves.
    """

    name: str
    policies: tuple[PolicyEntry, ...]
    robot: RobotKind = "twin"
    seed: int = 0
    tasks: tuple[Literal["object_nav"], ...] = ("object_nav",)
    houses: Houses | None = None
    starts: tuple[Start, ...] = ()
    repeats: int = 1
    max_steps: int = 600
    baseline: str = ""
    twin: TwinSettings = TwinSettings()

    @property
    def sha256(self) -> str:
        """Names what the plan says, whatever its file looks like."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()

    def policy(self, name: str) -> PolicyEntry:
        """The policy of that name."""
        return next(one for one in self.policies if one.name == name)

    def trials(self) -> tuple[Trial, ...]:
        """Every trial in the order it is run: block by block, the policies of a block in an order drawn by the seed."""
        return tuple(replace(trial, index=index) for index, trial in enumerate(self._trials()))

    def _trials(self) -> Iterator[Trial]:
        places = [*((seed, None) for seed in self._house_seeds()), *((None, start) for start in self.starts)]
        scenes = [(repeat, task, place) for repeat in range(self.repeats) for task in self.tasks for place in places]
        for block, (repeat, task, (house, start)) in enumerate(scenes):
            order = np.random.default_rng([self.seed, block]).permutation(len(self.policies))
            for policy in order:
                name, seed = self.policies[policy].name, self.seed + repeat
                yield Trial(0, block, task, name, seed, self.max_steps, house, start)

    def _house_seeds(self) -> tuple[int, ...]:
        if self.houses is None or self.houses.seeds:
            return self.houses.seeds if self.houses else ()
        from simulation.seeds import house_seed  # a real home needs no simulation

        first = self.houses.start
        return tuple(house_seed(self.houses.split, index) for index in range(first, first + self.houses.count))


def read_plan(path: Path) -> Plan:
    """The plan in a YAML file; PlanError says file, line, got, expected and the nearest known key."""
    data, place = read_yaml(path), Place(path.name, error=PlanError)
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
    if (plan.houses is None) == (not plan.starts):
        raise place.wrong("both" if plan.starts else "neither", "either 'houses' or 'starts'")
    if plan.robot == "twin" and plan.starts:
        raise place.key(data, "starts").wrong("starts for the twin", "'houses' (starts are for a real home)")
    if plan.houses is not None:
        _check_houses(plan.houses, place.key(data, "houses"))
    _check_policies(plan, data, place.key(data, "policies"))
    names = [one.name for one in plan.policies]
    if plan.baseline and plan.baseline not in names:
        raise place.key(data, "baseline").wrong(f"'{plan.baseline}'", f"one of {', '.join(names)}")


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
