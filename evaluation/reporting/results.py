"""What evaluations came to: rows of policies and tasks, comparisons, categories, failures, and their bundles."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from evaluation.plans.plan import Plan
from evaluation.plans.trial import Outcome
from evaluation.policies import PolicyIdentity
from evaluation.records.episode import Episode
from evaluation.records.run_folder import RunFolder
from evaluation.reporting.statistics import Estimate, PairedComparison, difference, mean, mean_fraction, paired, wilson
from evaluation.stages.failure import KINDS


@dataclass(frozen=True)
class Key:
    """What a row is about."""

    plan: str
    robot: str
    task: str
    policy: str


@dataclass(frozen=True)
class Row:
    """One policy at one task on one robot.

    Attributes:
        key: what it is about.
        bundle_sha256: names the policy's bundle; empty for the expert.
        is_simulated: whether every trial can be played again in simulation.
        planned: trials in the plan.
        aborted: trials that say nothing of the policy; they are in neither `success` nor `sel`.
        interventions: trials a person had to end; they are in `success` as trials without.
        success: over the trials that were judged.
        success_of_all: the same with every aborted trial counted as one without success.
        sel: success weighted by episode length, over the judged trials whose expert length is known; None without one.
        steps: mean number of decisions in judged trials.
        collisions: mean number of collisions in judged trials where they are known; None elsewhere.
        soft: success if whatever the hand reaches were held, over judged trials with a physical grasp; None without.
        rooms: mean share of the rooms that the robot was in, over judged trials where that is known; None elsewhere.
    """

    key: Key
    bundle_sha256: str
    is_simulated: bool
    planned: int
    aborted: int
    interventions: int
    success: Estimate
    success_of_all: Estimate
    sel: Estimate | None
    steps: Estimate
    collisions: Estimate | None
    soft: Estimate | None = None
    rooms: Estimate | None = None


@dataclass(frozen=True)
class Comparison:
    """A policy against the baseline of its plan, over the blocks in which both were judged."""

    first: Key
    second: Key
    result: PairedComparison


@dataclass(frozen=True)
class Transfer:
    """One bundle in simulation and on a robot: the difference of its success rates, robot minus simulation.

    A random baseline transfers nothing, and has none.
    """

    task: str
    bundle_sha256: str
    simulated: Key
    real: Key
    difference: Estimate


@dataclass(frozen=True)
class Results:
    """Everything a report shows.

    Attributes:
        plans: by name.
        rows: policies by task and robot, in the order of the plans.
        comparisons: each policy against its plan's baseline.
        transfers: bundles that stand in a simulated row and in a real one.
        categories: row -> target category -> success there.
        failures: row -> kind of failure -> number of trials.
        policies: row -> which policy it was.
        episodes: row -> its records.
    """

    plans: Mapping[str, Plan]
    rows: tuple[Row, ...]
    comparisons: tuple[Comparison, ...]
    transfers: tuple[Transfer, ...]
    categories: Mapping[Key, Mapping[str, Estimate]]
    failures: Mapping[Key, Mapping[str, int]]
    policies: Mapping[Key, PolicyIdentity]
    episodes: Mapping[Key, tuple[Episode, ...]] = field(repr=False)


def results_of(folders: Sequence[RunFolder]) -> Results:
    """What the evaluations in `folders` came to. Evaluations of one plan name on one robot are taken together."""
    episodes: dict[Key, list[Episode]] = {}
    policies: dict[Key, PolicyIdentity] = {}
    planned: Counter[Key] = Counter()
    for folder in folders:
        names = {one.name: one for one in folder.info.policies}
        robots = {one.robot for one in folder.episodes()} or {folder.info.plan.robot}
        for trial in folder.info.plan.trials():
            for robot in robots:
                planned[Key(folder.info.plan.name, robot, trial.task, trial.policy)] += 1
        for one in folder.episodes():
            key = Key(folder.info.plan.name, one.robot, one.trial.task, one.trial.policy)
            episodes.setdefault(key, []).append(one)
            policies[key] = names[one.trial.policy]
    order = sorted((key for key in planned if key in episodes), key=lambda key: _turn(key, folders))
    rows = tuple(_row(key, episodes[key], planned[key]) for key in order)
    plans = {folder.info.plan.name: folder.info.plan for folder in folders}
    return Results(
        plans=plans,
        rows=rows,
        comparisons=tuple(_comparisons(plans, {key: episodes[key] for key in order})),
        transfers=tuple(_transfers([row for row in rows if policies[row.key].sampling != "uniform"])),
        categories={key: _categories(episodes[key]) for key in order},
        failures={key: _failures(episodes[key]) for key in order},
        policies=policies,
        episodes={key: tuple(episodes[key]) for key in order},
    )


def _turn(key: Key, folders: Sequence[RunFolder]) -> tuple[int, str, str, int]:
    """Where a row stands: by plan, robot, task, and the policy's place in its plan."""
    plans = [folder.info.plan for folder in folders]
    index = next(i for i, plan in enumerate(plans) if plan.name == key.plan)
    return index, key.robot, key.task, [one.name for one in plans[index].policies].index(key.policy)


def judged(episodes: Iterable[Episode]) -> list[Episode]:
    """Those that say something of the policy."""
    return [one for one in episodes if one.outcome is not Outcome.ABORTED]


def _row(key: Key, episodes: Sequence[Episode], planned: int) -> Row:
    told = judged(episodes)
    successes = sum(one.success for one in told)
    sel = [one.metrics.sel for one in told if one.metrics.sel is not None]
    collisions = [float(one.metrics.collisions) for one in told if one.metrics.collisions is not None]
    soft = [one.metrics.soft_success for one in told if one.metrics.soft_success is not None]
    rooms = [share for one in told if (share := one.metrics.rooms_share) is not None]
    return Row(
        key=key,
        bundle_sha256=episodes[0].bundle_sha256,
        is_simulated=all(one.scene is not None and bool(one.scene.episode) for one in told),
        planned=planned,
        aborted=len(episodes) - len(told),
        interventions=sum(one.outcome is Outcome.INTERVENTION for one in told),
        success=wilson(successes, len(told)),
        success_of_all=wilson(successes, len(episodes)),
        sel=mean_fraction(sel) if sel else None,
        steps=mean([float(one.metrics.steps) for one in told]),
        collisions=mean(collisions) if collisions else None,
        soft=wilson(sum(soft), len(soft)) if soft else None,
        rooms=mean_fraction(rooms) if rooms else None,
    )


def baseline_of(plan: Plan) -> str:
    """Name of the policy that the others are compared with; empty when the plan has none."""
    uniform = [one.name for one in plan.policies if one.sampling == "uniform" and not one.expert]
    return plan.baseline or next(iter(uniform), "")


def _comparisons(plans: Mapping[str, Plan], episodes: Mapping[Key, Sequence[Episode]]) -> Iterable[Comparison]:
    for key in episodes:
        base = Key(key.plan, key.robot, key.task, baseline_of(plans[key.plan]))
        if base in episodes and base != key:
            ours, theirs = _by_block(episodes[key]), _by_block(episodes[base])
            blocks = [block for block in ours if block in theirs]
            result = paired([ours[block] for block in blocks], [theirs[block] for block in blocks])
            yield Comparison(key, base, result)


def _by_block(episodes: Sequence[Episode]) -> dict[int, bool]:
    return {one.trial.block: one.success for one in judged(episodes)}


def _transfers(rows: Sequence[Row]) -> Iterable[Transfer]:
    for simulated in rows:
        for real in rows:
            same = simulated.bundle_sha256 == real.bundle_sha256 != "" and simulated.key.task == real.key.task
            same_name = simulated.key.policy == real.key.policy
            if same and same_name and simulated.is_simulated and not real.is_simulated:
                counts = [(round(one.success.value * one.success.n), one.success.n) for one in (real, simulated)]
                gap = difference(counts[0], counts[1])
                yield Transfer(real.key.task, real.bundle_sha256, simulated.key, real.key, gap)


def _categories(episodes: Sequence[Episode]) -> dict[str, Estimate]:
    groups = _grouped(judged(episodes), lambda one: one.scene.target if one.scene else "")
    return {name: wilson(sum(one.success for one in group), len(group)) for name, group in sorted(groups.items())}


def _failures(episodes: Sequence[Episode]) -> dict[str, int]:
    counts = Counter(one.failure for one in episodes if one.failure)
    return {kind: counts[kind] for kind in KINDS if counts[kind]}


def _grouped(episodes: Iterable[Episode], name: Callable[[Episode], str]) -> dict[str, list[Episode]]:
    groups: dict[str, list[Episode]] = {}
    for one in episodes:
        groups.setdefault(name(one), []).append(one)
    return groups
