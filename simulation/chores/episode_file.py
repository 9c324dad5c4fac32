"""Episodes in CHORES' format: one JSON object per line, in a .jsonl or .jsonl.gz file.

Fields as in FLaRe online_evaluation/online_evaluation_types_and_utils.py (`EvalSample`). Frames: Unity's is left-handed
with x right, y up and z ahead, and `agent_y_rotation` clockwise from above [deg]; ours has x where theirs has z, and y
where theirs has -x. Values without a field in CHORES are in `extras`.
"""

from __future__ import annotations

import gzip
import json
import math
import re
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from simulation.chores.vocabulary import TASK_TYPES, Record, target_and_objects, task_fields, task_of
from simulation.episode import EpisodeSpec
from simulation.errors import ChoresError, HouseGenerationError
from simulation.houses.cache import cached_house
from simulation.houses.house import House
from simulation.houses.seeds import SPLITS, house_seed, split_of
from simulation.navigation.costmap import TIGHT_M
from simulation.navigation.goals import cached_space
from simulation.robot_models.body import BasePose
from simulation.task_registry import TASKS

AGENT_Y_M = 0.9009921550750732
"""Height of the Stretch in CHORES."""

_BUCKETS = ((50, "short"), (150, "medium"))  # as the 543 validation episodes have it
_FIELDS = ("task_type", "house_index", "agent_starting_position", "agent_y_rotation", "natural_language_spec")


def read_episodes(path: Path, split: str | None = None) -> tuple[EpisodeSpec, ...]:
    """Reads the episodes of a file.

    Args:
        path: of a .jsonl or .jsonl.gz file.
        split: that `house_index` refers to; None for the one that `task_path` names, "val" where there is none.

    Raises:
        ChoresError: line, got, expected and what is available, for a record that cannot be read, or names a task, a
            house, a category or a start that we do not have.
        OSError: the file cannot be read.
    """
    episodes = []
    for number, record in enumerate(read_records(path), 1):
        try:
            episodes.append(to_episode(record, split))
        except ChoresError as error:
            raise ChoresError(f"{path.name}:{number}: {error.what}", *error.details) from error
    return tuple(episodes)


def write_episodes(path: Path, episodes: Iterable[EpisodeSpec]) -> None:
    """Writes a file from which `read_episodes` reads equal episodes."""
    write_records(path, [to_record(episode) for episode in episodes])


def read_records(path: Path) -> tuple[dict[str, Any], ...]:
    """Reads the lines of a file as JSON objects, unchecked; ChoresError for a line that is none."""
    data = path.read_bytes()
    try:
        text = (gzip.decompress(data) if path.suffix == ".gz" else data).decode("utf-8")
    except (EOFError, gzip.BadGzipFile, zlib.error, UnicodeDecodeError) as error:
        raise ChoresError(path.name, str(error), "JSON lines, packed where it is called .gz") from error
    records = []
    for number, line in enumerate(text.splitlines(), 1):
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            record = None
        if not isinstance(record, dict):
            raise ChoresError(f"{path.name}:{number}", line[:60], "a JSON object")
        records.append(record)
    return tuple(records)


def write_records(path: Path, records: Iterable[Record]) -> None:
    """Writes lines from which `read_records` reads equal records; equal records make equal files."""
    data = "".join(json.dumps(record) + "\n" for record in records).encode()
    path.write_bytes(gzip.compress(data, mtime=0) if path.suffix == ".gz" else data)


def to_record(episode: EpisodeSpec) -> dict[str, Any]:
    """Converts an episode to CHORES' format. Raises SeedError for a house of no split."""
    house, split = cached_house(episode.house_seed), split_of(episode.house_seed)
    task_type, index = TASK_TYPES[episode.task], episode.house_seed - SPLITS[split].start
    x, y, yaw = episode.start
    return {
        "task_type": task_type,
        "house_index": index,
        "agent_starting_position": [-y, AGENT_Y_M, x],
        "agent_y_rotation": _rotation_deg(yaw),
        "expert_length_bucket": _bucket(episode.expert_steps),
        "expert_length": episode.expert_steps,
        **task_fields(episode, house),
        "extras": {"seed": episode.seed, "max_steps": episode.max_steps, "yaw_rad": yaw},
        "natural_language_spec": episode.instruction,
        "task_path": f"{task_type}/{split}/{index:06d}/raw_navigation_camera__0.mp4",
    }


def to_episode(record: Record, split: str | None = None) -> EpisodeSpec:
    """Converts a record to an episode; ChoresError for a task, house, category or start that Ferry does not have."""
    for name in _FIELDS:
        if name not in record:
            raise ChoresError(name, None, "a value", record)
    task = task_of(record["task_type"])
    if task is None or task not in TASKS:
        raise ChoresError("task_type", record["task_type"], "a task", (TASK_TYPES[name] for name in TASKS))
    house, extras = _house(record, split), record.get("extras") or {}
    if not isinstance(extras, dict):
        raise ChoresError("extras", extras, "an object")
    seed, max_steps = _whole(extras, "seed"), _whole(extras, "max_steps")
    target, objects = target_and_objects(task, record, house)
    return EpisodeSpec(
        task,
        house.seed,
        _start(record, house.seed, extras.get("yaw_rad")),
        target,
        str(record["natural_language_spec"]),
        seed or 0,
        _whole(record, "expert_length"),
        max_steps or TASKS[task].max_steps,
        objects,
    )


def _whole(record: Record, name: str) -> int | None:
    value = record.get(name)
    if value is not None and (not isinstance(value, int) or value < 0):
        raise ChoresError(name, value, "a whole number, or none")
    return value


def _house(record: Record, split: str | None) -> House:
    found = re.search(r"(?:^|/)(train|val|test)/", str(record.get("task_path", "")))
    split = split or (found[1] if found else "val")
    index = record["house_index"]
    if not isinstance(index, int) or not 0 <= index < len(SPLITS[split]):
        raise ChoresError("house_index", index, f"a {split} house, 0 to {len(SPLITS[split]) - 1}")
    try:
        return cached_house(house_seed(split, index))
    except HouseGenerationError as error:
        raise ChoresError("house_index", index, f"a {split} house that can be generated ({error})") from error


def _start(record: Record, seed: int, yaw_rad: float | None) -> BasePose:
    try:
        right, _, ahead = (float(value) for value in record["agent_starting_position"])
        rotation = float(record["agent_y_rotation"])
    except (TypeError, ValueError) as error:
        got = record["agent_starting_position"], record["agent_y_rotation"]
        raise ChoresError("agent_starting_position, agent_y_rotation", got, "three metres, and degrees") from error
    x, y = ahead, -right
    x_min, y_min, x_max, y_max = cached_house(seed).bounds
    if not (x_min < x < x_max and y_min < y < y_max) or cached_space(seed).clearance_at(x, y) < TIGHT_M:
        got = record["agent_starting_position"]
        floor = f"x {-y_max:.2f} to {-y_min:.2f}, z {x_min:.2f} to {x_max:.2f} m"
        raise ChoresError("agent_starting_position", got, f"free floor in house {seed} ({floor})")
    known = yaw_rad is not None and _rotation_deg(yaw_rad) == rotation
    return x, y, yaw_rad if known and yaw_rad is not None else math.radians(-rotation % 360.0)


def _rotation_deg(yaw_rad: float) -> float:
    return math.degrees(-yaw_rad) % 360.0


def _bucket(expert_steps: int | None) -> str | None:
    if expert_steps is None:
        return None
    return next((name for below, name in _BUCKETS if expert_steps < below), "long")
