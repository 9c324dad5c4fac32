"""Reads a LeRobotDataset v3 of LIBERO's Panda as demonstrations: Ferry's own export, and the public ones.

- Ferry's (`ferry export-dataset` of a Panda that was recorded): rows in metres and radians, the gripper 0 closed and 1
  open, images upright. Only trials that ended as a success count as one.
- Public ones (e.g. HuggingFaceVLA/libero; the column names of huggingface/lerobot): LIBERO's actions in [-1, 1], the
  gripper -1 open and 1 closed, images turned by 180 degrees as in OpenVLA's RLDS, that is upright and mirrored. They
  are mirrored back. All episodes count as successes, since nothing tells of failures.

Numbers are checked against the convention that is read; a dataset of another one is refused.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from robots.embodiments.panda import CAMERA, HAND, PANDA
from simulation.demonstrations.demonstration import Demonstration
from simulation.libero.chunk_rows import action_of
from simulation.libero.episode_length import MAX_ACTIONS
from simulation.libero.published_files import UNKNOWN_TASK, moving
from training.data.lerobot_dataset import ACTION, IMAGE, STATE, LeRobotDataset
from training.errors import DataError

ORIGIN = Path("meta/ferry.json")
SUCCESS = "success"
PUBLIC_CAMERAS = ("image", "agentview", "front")
"""Names of the third-person camera in public datasets, the likeliest first."""

ROUNDING = 1e-3
APART_M = 0.03
"""An action whose first numbers are nearer to the hand's next place than this is that place, not a pull."""

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class PublicLayout:
    """What the files of a public LeRobotDataset of LIBERO do not tell."""

    gripper_opens: bool = False
    """The last number of an action is 1 to open and 0 to close the gripper, instead of LIBERO's -1 and 1."""
    upright: bool = False
    """Images are as a person sees them, instead of mirrored as in OpenVLA's data."""
    camera: str = ""
    """Name of the third-person camera behind "observation.images."; the likeliest by default."""


AS_PUBLISHED = PublicLayout()
"""Of HuggingFaceVLA/libero."""


def read_lerobot(root: Path, drop_idle: bool = False, layout: PublicLayout = AS_PUBLISHED) -> Iterator[Demonstration]:
    """Yields the demonstrations of a dataset, in its order.

    Raises:
        DataError: it is damaged, or its actions, state or images are not those of LIBERO's Panda.
    """
    dataset = LeRobotDataset.open(root)
    is_ours = dataset.names(ACTION) == PANDA.chunks[0].names
    if not is_ours and (root / ORIGIN).is_file():
        names = ", ".join(dataset.names(ACTION))
        raise DataError(
            f"{root}: got a recording with actions {names}, expected LIBERO's Panda: {PANDA.chunks[0].names}"
        )
    outcomes = _outcomes(root, len(dataset.episodes)) if is_ours else None
    camera = _camera(dataset, CAMERA if is_ours else layout.camera)
    for number, episode in enumerate(dataset.episodes):
        raw, state = dataset.numbers(episode, ACTION), dataset.numbers(episode, STATE)
        hand = _own_hand(dataset, state) if is_ours else _public_hand(dataset, state)
        actions = _own_actions(dataset, raw) if is_ours else _public_actions(dataset, raw, hand, layout.gripper_opens)
        kept = moving(actions) if drop_idle else np.ones(len(actions), bool)
        images = np.stack(list(dataset.images(episode, camera)))
        _expect_square(dataset, camera, images)
        yield Demonstration(
            suite=_suite(root),
            index=UNKNOWN_TASK,
            instruction=episode.instruction,
            images=np.ascontiguousarray(images[kept] if is_ours or layout.upright else images[kept, :, ::-1]),
            proprio=hand[kept],
            actions=actions[kept],
            success=outcomes is None or outcomes[number] == SUCCESS,
        )


def _outcomes(root: Path, count: int) -> list[str]:
    """How the trial of each episode of Ferry's own dataset ended."""
    try:
        origins = json.loads((root / ORIGIN).read_text(encoding="utf-8"))["episodes"]
        outcomes = [str(one["outcome"]) for one in origins]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{root / ORIGIN}: got {type(error).__name__} {error}, expected how each trial ended"
        ) from error
    if len(outcomes) != count:
        raise DataError(f"{root / ORIGIN}: got {len(outcomes)} trials, expected {count}")
    return outcomes


def _camera(dataset: LeRobotDataset, name: str) -> str:
    names = [name] if name else PUBLIC_CAMERAS
    found = next((IMAGE + one for one in names if IMAGE + one in dataset.cameras), None)
    if found is None:
        have = ", ".join(one.removeprefix(IMAGE) for one in dataset.cameras) or "none"
        raise DataError(f"{dataset.root}: got cameras {have}, expected {' or '.join(names)}; --lerobot.camera names it")
    return found


def _own_hand(dataset: LeRobotDataset, state: Floats) -> Floats:
    names = dataset.names(STATE)
    missing = [name for name in HAND.names if name not in names]
    if missing:
        raise DataError(f"{dataset.root}: got state {', '.join(names)}, expected {', '.join(missing)} in it")
    return state[:, [names.index(name) for name in HAND.names]]


def _own_actions(dataset: LeRobotDataset, rows: Floats) -> Floats:
    vector = PANDA.chunks[0]
    low, high = np.array(vector.low) - ROUNDING, np.array(vector.high) + ROUNDING
    if (rows < low).any() or (rows > high).any():
        raise DataError(f"{dataset.root}: got a row beyond the Panda's bounds {vector.low} to {vector.high}")
    return np.array([action_of(row) for row in rows], np.float32)


def _public_hand(dataset: LeRobotDataset, state: Floats) -> Floats:
    names = dataset.names(STATE)
    if state.shape[1] != len(HAND) or any("joint" in name for name in names):
        raise DataError(
            f"{dataset.root}: got state of {state.shape[1]} numbers ({', '.join(names) or 'without names'}), expected "
            f"{len(HAND)}: place and rotation vector of the hand, two fingers"
        )
    return state


def _public_actions(dataset: LeRobotDataset, actions: Floats, hand: Floats, gripper_opens: bool) -> Floats:
    """LIBERO's actions, checked: 7 numbers in [-1, 1], pulls and no places, the gripper as its sign option has it."""
    if actions.shape[1] != len(PANDA.chunks[0]):
        raise DataError(f"{dataset.root}: got actions of {actions.shape[1]} numbers, expected 7")
    gripper = actions[:, 6]
    if gripper_opens:
        if gripper.min() < -ROUNDING:
            raise DataError(f"{dataset.root}: got a gripper of {gripper.min():g}, expected 0 to 1: omit gripper-opens")
        actions = np.concatenate([actions[:, :6], 1.0 - 2.0 * actions[:, 6:]], axis=1)
    elif gripper.min() > -ROUNDING and len(np.unique(gripper)) > 1:
        raise DataError(
            f"{dataset.root}: got a gripper of {gripper.min():g} to {gripper.max():g}, expected LIBERO's -1 (open) to "
            "1 (closed); --lerobot.gripper-opens reads 1 as open and 0 as closed"
        )
    if np.abs(actions).max() > 1.0 + ROUNDING:
        raise DataError(f"{dataset.root}: got an action of {np.abs(actions).max():g}, expected LIBERO's [-1, 1]")
    if len(actions) > 1:
        apart_m = float(np.median(np.linalg.norm(actions[:-1, :3] - hand[1:, :3], axis=1)))
        if apart_m < APART_M:
            raise DataError(
                f"{dataset.root}: got actions that are the hand's next place (to {apart_m:.3f} m), expected LIBERO's: "
                "how far it is pulled, in [-1, 1]"
            )
    return actions


def _expect_square(dataset: LeRobotDataset, camera: str, images: npt.NDArray[np.uint8]) -> None:
    if images.shape[1] != images.shape[2]:
        raise DataError(f"{dataset.root}: got {camera} of {images.shape[1:3]}, expected square images")


def _suite(root: Path) -> str:
    """The suite that a folder's name begins with, e.g. libero_10 of libero_10_image; else the whole name."""
    return next((suite for suite in MAX_ACTIONS if f"{root.name}_".startswith(f"{suite}_")), root.name)
