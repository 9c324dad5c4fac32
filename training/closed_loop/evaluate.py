"""`ferry train evaluate`: closed-loop success in simulated houses, many at once, without a policy server.

Published results come from `ferry evaluate`, through the server; this is the fast evaluation for choosing a checkpoint,
and `ferry export` writes its results into the provenance.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import torch
import tyro

from policy_server.onnx.sampling import SAMPLINGS, choose
from robots.spec import F32Vector
from simulation.episode import LOOKS, EpisodeSpec
from simulation.errors import EpisodeGenerationError, HouseGenerationError
from simulation.expert_length import NOISELESS, expert_length
from simulation.houses.seeds import house_seed
from simulation.navigation.rooms import rooms_at
from simulation.task_registry import check_tasks, task
from simulation.tasks.metrics import failed_fraction, sel
from simulation.tasks.object_nav import TASK
from simulation.twins.house_twin import TwinOptions
from simulation.twins.registry import make_twin
from simulation.worker_pool import Report, WorkerPool
from training.bundles.start import is_bundle, load_policy
from training.closed_loop.rollout import ActiveEpisode, Rollout
from training.errors import ConfigError
from training.runtime.checkpoint import policy_from
from training.runtime.progress import Bar

CHUNK = 20
"""Episodes per job."""
REPORT_EVERY = 10
"""Steps after which a worker reports them: all of its episodes may be long."""

POLICIES = (*SAMPLINGS, "expert")


@dataclass(frozen=True)
class EvaluateOptions:
    """Measures a checkpoint's success in houses that it was not trained on."""

    checkpoint: Path = Path("runs/mini/bc/best.pt")
    """A policy's checkpoint, or a bundle of `mini`, e.g. policies/objectnav_stretch_mini."""
    episodes: int = 200
    """Number of houses, one episode each."""
    split: str = "val"
    """val to choose a checkpoint, test once at the end."""
    sampling: tuple[str, ...] = ("greedy", "sample")
    """Any of greedy, sample, uniform (the random baseline) and expert."""
    max_steps: int = 200
    """Longest episode; the policy's horizon at most."""
    contact: str = "strict"
    """strict, or slide (which no real base does)."""
    task: tuple[str, ...] = (TASK,)
    """Tasks in `simulation.task_registry`; each is measured separately."""
    body: str = "stretch_re1"
    """Robot: stretch_re1 or locobot."""
    workers: int = 2
    slots: int = 8
    """Episodes that one worker plays in parallel."""
    first: int = 0
    """Index of the first house in the split."""
    out: Path | None = None
    """Folder for the results; by default beside the checkpoint, for a bundle runs/ and its name."""


def main(argv: Sequence[str]) -> int:
    """Runs `ferry train evaluate`."""
    options = tyro.cli(EvaluateOptions, args=list(argv), prog="ferry train evaluate")
    check(options)
    folder = options.out or results_folder(options.checkpoint)
    for name, sampling in product(options.task, options.sampling):
        single = replace(options, task=(name,))
        result = evaluate(single, sampling)
        path = folder / result_file(single, sampling)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
        print(table(result) + f"\n{path}\n")
    return 0


def results_folder(checkpoint: Path) -> Path:
    """Folder of a checkpoint's results where none is chosen; a bundle and its neighbours stay as they are."""
    return Path("runs") / checkpoint.stem if is_bundle(checkpoint) else checkpoint.parent


def result_file(options: EvaluateOptions, sampling: str) -> str:
    """Name of a result's file; it states a task other than ObjectNav, another robot, contact and first house."""
    (name,) = options.task
    body = "" if options.body == "stretch_re1" else options.body
    contact = "" if options.contact == "strict" else options.contact
    first = f"from_{options.first}" if options.first else ""
    parts = ("" if name == TASK else name, options.split, sampling, body, contact, first)
    return "_".join(part for part in parts if part) + ".json"


def check(options: EvaluateOptions) -> None:
    """Raises ConfigError for an unknown sampling or episodes longer than the policy's horizon.

    EpisodeError and SpecError list the known tasks and robots.
    """
    check_tasks(options.task, make_twin(options.body).spec)
    horizon = policy_from(load_policy(options.checkpoint), options.checkpoint).config.horizon
    if options.max_steps > horizon:
        raise ConfigError("max_steps", options.max_steps, f"at most the policy's horizon, {horizon}")
    for sampling in options.sampling:
        if sampling not in POLICIES:
            raise ConfigError("sampling", repr(sampling), f"one of {', '.join(POLICIES)}")


def evaluate(options: EvaluateOptions, sampling: str, give_up: Callable[[], bool] = lambda: False) -> dict[str, Any]:
    """Plays `options.episodes` episodes with worker processes; returns statistics and every episode.

    With several tasks they alternate, house by house.
    Once `give_up()` is True it returns soon, with the episodes so far.
    """
    jobs = [range(i, min(i + CHUNK, options.episodes)) for i in range(0, options.episodes, CHUNK)]
    outcomes: list[dict[str, Any]] = []
    with (
        Bar(f"evaluate {sampling}", options.episodes, "episodes") as bar,
        WorkerPool(partial(Evaluator, options, sampling), options.workers, bar.steps) as pool,
    ):
        for _, done in pool.run(jobs, give_up=give_up):
            outcomes += done
            bar.advance(len(done))
            bar.write(f"{sum(each['success'] for each in outcomes)} of {len(outcomes)} solved")
        if (left := options.episodes - len(outcomes)) and not give_up():
            bar.write(f"{left} of {options.episodes} left out: no such episode in the house, or the expert fails")
    return summarise(sorted(outcomes, key=lambda each: each["index"]), options, sampling)


class Evaluator:
    """Plays the episodes of a range of indices in a worker process."""

    def __init__(self, options: EvaluateOptions, sampling: str) -> None:
        torch.set_num_threads(1)
        self.options, self.sampling = options, sampling
        payload = load_policy(options.checkpoint)
        self.policy, self.looks = policy_from(payload, options.checkpoint), payload.get("looks", LOOKS[0])
        image = self.policy.config.image
        twin = TwinOptions(height=image.height, width=image.width, contact=options.contact)
        self.rollout = Rollout(self.policy, options.slots, twin, options.max_steps, options.body)
        self._report: Report = lambda steps: None
        self._played = 0

    def __call__(self, job: range, report: Report) -> list[dict[str, Any]]:
        """Plays `job`."""
        self._report, self._played = report, 0
        drawn = evaluation_episodes(self.options, job)
        episodes = {index: replace(episode, looks=self.looks) for index, episode in drawn}
        index = {id(episode): number for number, episode in episodes.items()}
        outcomes = []
        for slot in self.rollout.run(episodes.values(), self._decide):
            outcomes.append(outcome(slot, index[id(slot.record.episode)]))
        report(self._played % REPORT_EVERY)
        return outcomes

    def _decide(self, slot: ActiveEpisode, logits: F32Vector) -> str:
        self._played += 1
        if self._played % REPORT_EVERY == 0:
            self._report(REPORT_EVERY)
        if self.sampling == "expert":
            return slot.expert.action()
        action, _ = choose(logits, self.sampling, slot.rng)  # type: ignore[arg-type]  # checked by `check`
        return self.rollout.binding.actions.names[action]


def evaluation_episodes(options: EvaluateOptions, indices: range) -> Iterator[tuple[int, EpisodeSpec]]:
    """Yields index and episode, one per house, with the expert's length; skips what cannot be generated or solved."""
    eye = make_twin(options.body, NOISELESS).eye
    for index in indices:
        chosen, house = task(options.task[index % len(options.task)]), house_seed(options.split, options.first + index)
        try:
            episode = chosen.sample(house, max_steps=options.max_steps, eye=eye)
        except (HouseGenerationError, EpisodeGenerationError):
            continue
        episode = episode.with_expert_steps(expert_length(episode, make_twin(options.body, NOISELESS)))
        if episode.expert_steps is not None:
            yield index, episode


def outcome(slot: ActiveEpisode, index: int) -> dict[str, Any]:
    """Summarises one episode as JSON values."""
    episode = slot.record.episode
    assert episode.expert_steps is not None
    return {
        "index": index,
        "task": episode.task,
        "house": episode.house_seed,
        "rooms": len(slot.twin.house.rooms),
        "target": episode.target,
        "success": slot.record.success,
        "ended": slot.ended,
        "steps": slot.steps,
        "expert_steps": episode.expert_steps,
        "sel": sel(slot.record.success, episode.expert_steps, slot.steps),
        "collisions": slot.record.collisions,
        "failed_share": failed_fraction(slot.twin.history),
        "rooms_visited": len(rooms_at(slot.twin.house, slot.twin.path)),
    }


def summarise(outcomes: Sequence[Mapping[str, Any]], options: EvaluateOptions, sampling: str) -> dict[str, Any]:
    """Computes success with its Wilson interval, SEL, lengths, and success by category and by number of rooms."""
    count = max(len(outcomes), 1)
    solved = sum(bool(each["success"]) for each in outcomes)
    low, high = wilson(solved, len(outcomes))
    return {
        "simulated": {
            "task": ", ".join(options.task), "split": options.split, "episodes": len(outcomes),
            "success": solved / count, "low": low, "high": high, "sampling": sampling, "body": options.body,
        },
        "sel": sum(each["sel"] for each in outcomes) / count,
        "steps": sum(each["steps"] for each in outcomes) / count,
        "collisions": sum(each["collisions"] for each in outcomes) / count,
        "failed_share": sum(each["failed_share"] for each in outcomes) / count,
        "rooms_visited": sum(each["rooms_visited"] / each["rooms"] for each in outcomes) / count,
        "done_rate": sum(each["ended"] == "done" for each in outcomes) / count,
        "left_out": options.episodes - len(outcomes),
        "by_task": _by(outcomes, "task"),
        "by_target": _by(outcomes, "target"),
        "by_rooms": _by(outcomes, "rooms"),
        "options": plain(options),
        "episodes": list(outcomes),
    }  # fmt: skip


def plain(options: EvaluateOptions) -> dict[str, Any]:
    """Converts the options to JSON values."""
    return {name: str(value) if isinstance(value, Path) else value for name, value in asdict(options).items()}


def _by(outcomes: Sequence[Mapping[str, Any]], key: str) -> dict[str, dict[str, int]]:
    groups: dict[str, dict[str, int]] = {}
    for each in sorted(outcomes, key=lambda each: str(each[key])):
        group = groups.setdefault(str(each[key]), {"solved": 0, "episodes": 0})
        group["solved"] += bool(each["success"])
        group["episodes"] += 1
    return groups


def wilson(solved: int, count: int, z: float = 1.96) -> tuple[float, float]:
    """95 % interval of a success rate (Wilson 1927); (0, 1) for no trials."""
    if count == 0:
        return 0.0, 1.0
    rate, spread = solved / count, z * z / count
    middle = (rate + spread / 2) / (1 + spread)
    half = z / (1 + spread) * math.sqrt(rate * (1 - rate) / count + spread / (4 * count))
    return max(0.0, middle - half), min(1.0, middle + half)


def table(result: Mapping[str, Any]) -> str:
    """Formats a result as text."""
    figures = result["simulated"]
    lines = [
        f"{figures['task']}, {figures['body']}, {figures['split']}, {figures['sampling']}: {figures['success']:.1%} "
        f"[{figures['low']:.1%}, {figures['high']:.1%}] of {figures['episodes']}; SEL {result['sel']:.3f}; "
        f"{result['steps']:.1f} steps, {result['collisions']:.1f} collisions, done in {result['done_rate']:.0%}, "
        f"{result['failed_share']:.1%} of the actions failed, {result['rooms_visited']:.0%} of the rooms visited"
    ]
    for title in ("by_rooms", "by_target"):
        cells = [f"{name} {group['solved']}/{group['episodes']}" for name, group in result[title].items()]
        lines.append(f"  {title.replace('_', ' ')}: " + ", ".join(cells))
    return "\n".join(lines)
