"""What was recorded on a robot as data of `ferry train bc`: a dataset of `ferry export-dataset` becomes shards.

The robot's images go through the binding of the policy that is trained to the robot that was recorded, as they do when
it drives that robot, and through the run's frozen encoder. The label is the executed action; where nothing was executed
there is none, and the next step's previous action says so.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from policy_server.manifest import sha256_of
from robots.binding import bind
from robots.embodiment import Embodiment
from robots.observation import Observation
from robots.processes.text import counted
from robots.spec import F32Vector
from simulation.episode import EpisodeSpec
from training.data.demonstration import Demonstration
from training.data.features import encode_images, encoder_name, run_encoder
from training.data.lerobot_dataset import ACTION, IMAGE, INFO, STATE, LeRobotDataset, LeRobotEpisode, is_lerobot
from training.data.shards import UNLABELLED, shard_path, write_metadata, write_shard
from training.errors import DataError
from training.models.config import PolicyConfig

ORIGIN = Path("meta/ferry.json")
RECORDING = "*.mcap"
SHARD = 10
"""Episodes per shard."""

SUCCESS = "success"


@dataclass(frozen=True)
class RecordedEpisode:
    """One trial of a dataset, with what Ferry's exporter tells of it."""

    episode: LeRobotEpisode
    body: Embodiment
    tasks: tuple[str, ...]
    outcome: str


def data_folders(run: Path, data: Sequence[str], config: PolicyConfig, any_outcome: bool = False) -> list[Path]:
    """Folders with shards: those of the run, and those that are made here of recorded datasets, once.

    Args:
        run: folder of the run.
        data: folders of the run, or anywhere, with shards or a dataset of `ferry export-dataset`.
        config: of the policy that is trained.
        any_outcome: takes trials that were no success, too.

    Raises:
        DataError: a folder holds recordings that were not exported yet, or a dataset that does not fit the policy.
        RobotError: the policy does not fit the robot that was recorded.
    """
    return [_shard_folder(run, _found(run, name), config, any_outcome) for name in data]


def _found(run: Path, name: str) -> Path:
    return run / name if (run / name).exists() or not Path(name).exists() else Path(name)


def _shard_folder(run: Path, folder: Path, config: PolicyConfig, any_outcome: bool) -> Path:
    if is_lerobot(folder):
        return shards_of(folder, run, config, any_outcome)
    if folder.is_dir() and not any(folder.glob("shard_*.npz")) and next(folder.rglob(RECORDING), None):
        raise DataError(
            f"{folder}: got recordings, expected shards or a dataset; "
            f"`ferry export-dataset {folder} --output DATASET` makes one of them"
        )
    return folder


def shards_of(root: Path, run: Path, config: PolicyConfig, any_outcome: bool = False) -> Path:
    """Makes shards of a dataset in the run's folder, those that are not there yet; returns their folder."""
    dataset, trials = LeRobotDataset.open(root), recorded_episodes(root)
    chosen = [one for one in trials if any_outcome or one.outcome == SUCCESS]
    if not chosen:
        ends = ", ".join(sorted({one.outcome or "not judged" for one in trials})) or "none"
        raise DataError(f"{root}: got trials that ended as {ends}, expected a success; --any-outcome takes the others")
    encoder = run_encoder(run, config)  # before the folder is named after it
    encoder_id = encoder_name(run, config)
    made_of = [encoder_id, config.spec().to_json(), any_outcome, _files(root)]
    content = (root / INFO).read_bytes() + (root / ORIGIN).read_bytes() + json.dumps(made_of).encode()
    folder = run / f"recorded-{sha256_of(content)[:12]}"
    metadata = {"encoder": encoder_id, "task": list(dict.fromkeys(t for one in chosen for t in one.tasks))}
    write_metadata(folder, {**metadata, "kind": "recorded", "body": chosen[0].body.name, "dataset": root.name})
    parts = [chosen[first : first + SHARD] for first in range(0, len(chosen), SHARD)]
    missing = {number: part for number, part in enumerate(parts) if not shard_path(folder, number).is_file()}
    if missing:
        for number, part in missing.items():
            write_shard(
                shard_path(folder, number), [_encoded(demonstration(dataset, one, config), encoder) for one in part]
            )
        print(f"{root}: {counted(len(chosen), 'episode')} of {len(trials)} as shards in {folder}", flush=True)
    return folder


def _files(root: Path) -> list[tuple[str, int]]:
    """Names and sizes: a dataset that was exported again, otherwise, is another one."""
    files = (path for path in sorted(root.rglob("*")) if path.is_file())
    return [(path.relative_to(root).as_posix(), path.stat().st_size) for path in files]


def _encoded(shown: Demonstration, encoder: nn.Module) -> Demonstration:
    """With the encoder's tokens in place of the images."""
    return replace(shown, features=list(encode_images(encoder, shown.images)), images=[])


def recorded_episodes(root: Path) -> list[RecordedEpisode]:
    """The episodes of a dataset of `ferry export-dataset`.

    Raises:
        DataError: it was written by another program, or by a version of Ferry that did not tell of the robot.
    """
    dataset = LeRobotDataset.open(root)
    try:
        origin: Mapping[str, Any] = json.loads((root / ORIGIN).read_text(encoding="utf-8"))
        bodies = [Embodiment.from_json(body) for body in origin["bodies"]]
        return [
            RecordedEpisode(episode, bodies[known["body"]], tuple(known["tasks"]), known["outcome"])
            for episode, known in zip(dataset.episodes, origin["episodes"], strict=True)
        ]
    except FileNotFoundError as error:
        raise DataError(
            f"{root}: got no {ORIGIN}, expected what `ferry export-dataset` writes: it tells which robot was recorded"
        ) from error
    except (OSError, ValueError, KeyError, IndexError, TypeError) as error:
        raise DataError(f"{root / ORIGIN}: got {type(error).__name__} {error}, expected a whole file") from error


def demonstration(dataset: LeRobotDataset, one: RecordedEpisode, config: PolicyConfig) -> Demonstration:
    """What was seen and done in a trial, as the policy sees it and in the order of its logits.

    Raises:
        DataError: an action is none of the policy's, or the policy has no token for an action that was not executed.
    """
    binding = bind(config.spec(), one.body)
    task, instruction = (one.tasks or ("",))[0], one.episode.instruction
    shown = Demonstration(EpisodeSpec(task, 0, (0.0, 0.0, 0.0), "", instruction, 0), success=one.outcome == SUCCESS)
    labels = _labels(dataset, one.episode, config)
    last: int | None = None
    for observation, label in zip(_observations(dataset, one), labels):
        images = binding.images(observation)
        shown.images.append(tuple(images[camera.name] for camera in binding.policy.cameras))
        previous = config.tokens.start if last is None else _token(dataset, last, config)
        shown.add(label, previous, binding.state(observation))
        shown.collisions += label == UNLABELLED
        last = label
    return shown


def _token(dataset: LeRobotDataset, last: int, config: PolicyConfig) -> int:
    if last == UNLABELLED and config.tokens.blocked is None:
        raise DataError(
            f"{dataset.root}: got a step where nothing was executed, expected none: policy '{config.name}' has no "
            "token for that, and the dataset does not tell what was tried"
        )
    return config.tokens.token(last, last != UNLABELLED)


def _labels(dataset: LeRobotDataset, episode: LeRobotEpisode, config: PolicyConfig) -> list[int]:
    """Index of the executed action at each step, `UNLABELLED` where there was none."""
    names = dataset.names(ACTION)
    unknown = [name for name in names if name not in config.actions]
    if unknown:
        raise DataError(
            f"{dataset.root}: got actions {', '.join(unknown)}, expected those of policy '{config.name}': "
            f"{', '.join(config.actions)}"
        )
    rows = dataset.numbers(episode, ACTION)
    if rows.shape[1] != len(names) or not np.isin(rows, (0.0, 1.0)).all() or (rows.sum(axis=1) > 1).any():
        raise DataError(f"{dataset.root}: got actions that are not one-hot over their {len(names)} names")
    return [config.actions.index(names[int(row.argmax())]) if row.any() else UNLABELLED for row in rows]


def _observations(dataset: LeRobotDataset, one: RecordedEpisode) -> Iterator[Observation]:
    """The observations of a trial, with the robot's own images and state groups."""
    states = dataset.numbers(one.episode, STATE)
    cameras = [camera.name for camera in one.body.cameras]
    streams = [dataset.images(one.episode, IMAGE + camera) for camera in cameras]
    for row, images in zip(states, zip(*streams, strict=True), strict=True):
        yield Observation(0, dict(zip(cameras, images)), _groups(row, one.body), one.episode.instruction)


def _groups(row: F32Vector, body: Embodiment) -> dict[str, F32Vector]:
    ends = np.cumsum([len(spec) for spec in body.state.values()])
    return dict(zip(body.state, np.split(row, ends[:-1])))
