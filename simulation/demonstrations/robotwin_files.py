"""Reads RoboTwin's episodes: HDF5 of its own layout, and of XPolicyLab's trajectories, which it writes since 2026-08.

Read in RoboTwin-Platform/RoboTwin at cf47ab5 (envs/utils/pkl2hdf5.py, scripts/process_data_xpolicylab.py) and
XPolicyLab/XPolicyLab at 7198143 (README.md, Trajectory Data Format v1.0).

- Its own layout has positions of joints at each moment and no actions: the action of a row is the position of the next
  one, and the last row has none.
- Images are JPEG whose red and blue are exchanged for every reader but OpenCV, which exchanges them back: OpenCV wrote
  RGB as if it were BGR. They are RGB here.
- Grippers are 0 closed and 1 open; poses of the hands have quaternions (w, x, y, z).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import numpy.typing as npt

from simulation.errors import DemonstrationError

if TYPE_CHECKING:
    import h5py

CAMERAS: Mapping[str, str] = {
    "head_camera": "cam_head",
    "left_camera": "cam_left_wrist",
    "right_camera": "cam_right_wrist",
    "front_camera": "cam_third_view",
}
"""RoboTwin's names of its cameras -> XPolicyLab's."""

JOINTS: Mapping[str, str] = {
    "left_arm": "left_arm_joint_state",
    "left_gripper": "left_ee_joint_state",
    "right_arm": "right_arm_joint_state",
    "right_gripper": "right_ee_joint_state",
}
HANDS: Mapping[str, str] = {"left_endpose": "left_ee_pose", "right_endpose": "right_ee_pose"}

RATE_HZ = 15.0
"""Of its own layout, which does not tell: `save_freq` of its task configurations counts simulation steps."""

Floats = npt.NDArray[np.float32]
Images = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class RobotwinEpisode:
    """One episode of T rows, by XPolicyLab's names.

    Attributes:
        instructions: the task in several wordings; may be none.
        images: (T, H, W, 3) RGB of each camera, before the action.
        state: (T, n) of each vector, e.g. "left_arm_joint_state" [rad].
        actions: (T, n) of each vector, as `state`.
        rate_hz: rows a second.
    """

    instructions: tuple[str, ...]
    images: Mapping[str, Images]
    state: Mapping[str, Floats]
    actions: Mapping[str, Floats]
    rate_hz: float

    def __len__(self) -> int:
        return len(next(iter(self.actions.values())))

    def observation(self, row: int) -> dict[str, Any]:
        """Returns what RoboTwin's evaluation sends to a policy at a row (XPolicyLab's Observation Data Format v1.0)."""
        colours = {name: frames[row] for name, frames in self.images.items()}
        return {
            "data_format_version": "v1.0",
            "instruction": self.instructions[0] if self.instructions else "",
            "instructions": list(self.instructions[:1]),
            "env_idx": 0,
            "vision": {name: {"color": one, "shape": list(one.shape[:2])} for name, one in colours.items()},
            "state": {name: values[row] for name, values in self.state.items()},
            "additional_info": {"frequency": round(self.rate_hz)},
        }


def read_robotwin(path: Path, rate_hz: float = RATE_HZ) -> RobotwinEpisode:
    """Reads an episode of either layout; `rate_hz` is that of RoboTwin's own, which does not tell.

    Instructions of RoboTwin's own layout are in `../instructions/<episode>.json`, as it writes them; none without it.

    Raises:
        DemonstrationError: h5py is not installed, or the file is no such episode.
    """
    try:
        import h5py
    except ImportError as error:
        raise DemonstrationError(path, str(error), "h5py: pip install 'ferry[libero]'") from error
    try:
        with h5py.File(path, "r") as file:
            episode = _trajectory(file) if "state" in file else _own(file, path, rate_hz)
    except (OSError, KeyError, ValueError, TypeError) as error:
        expected = "an HDF5 file of RoboTwin's or XPolicyLab's layout"
        raise DemonstrationError(path, f"{type(error).__name__}: {error}", expected) from error
    lengths = {len(values) for part in (episode.images, episode.state, episode.actions) for values in part.values()}
    if len(lengths) != 1 or not episode.actions or 0 in lengths:
        raise DemonstrationError(path, f"arrays of {sorted(lengths)} rows", "images, state and actions of one length")
    return episode


def _trajectory(file: h5py.File) -> RobotwinEpisode:
    """XPolicyLab's layout; without actions, they are the next row's state."""
    state = {name.removesuffix("s"): _rows(one) for name, one in file["state"].items() if name != "mobile"}
    images = {name: _images(camera["colors"]) for name, camera in file["vision"].items() if "colors" in camera}
    if "action" in file:
        actions = {name.removesuffix("s"): _rows(one) for name, one in file["action"].items()}
    else:
        actions = {name: values[1:] for name, values in state.items()}
        state = {name: values[:-1] for name, values in state.items()}
        images = {name: values[:-1] for name, values in images.items()}
    sentences = json.loads(file["instructions"][()]) if "instructions" in file else []
    sentences = [sentences] if isinstance(sentences, str) else sentences
    rate_hz = float(np.asarray(file["additional_info/frequency"][()]).reshape(-1)[0])
    return RobotwinEpisode(tuple(str(sentence) for sentence in sentences if sentence), images, state, actions, rate_hz)


def _own(file: h5py.File, path: Path, rate_hz: float) -> RobotwinEpisode:
    """RoboTwin's own layout."""
    named = {JOINTS[name]: _rows(one) for name, one in file["joint_action"].items() if name in JOINTS}
    hands = file.get("endpose", {})
    named |= {HANDS[name]: _rows(one) for name, one in hands.items() if name in HANDS}
    seen = {name: one for name, one in file["observation"].items() if name in CAMERAS and "rgb" in one}
    return RobotwinEpisode(
        instructions=_instructions(path.parent.parent / "instructions" / f"{path.stem}.json"),
        images={CAMERAS[name]: _images(one["rgb"])[:-1] for name, one in seen.items()},
        state={name: values[:-1] for name, values in named.items()},
        actions={name: values[1:] for name, values in named.items()},
        rate_hz=rate_hz,
    )


def _instructions(path: Path) -> tuple[str, ...]:
    """The "seen" wordings of an episode."""
    if not path.exists():
        return ()
    sentences = json.loads(path.read_text(encoding="utf-8"))
    sentences = sentences.get("seen", []) if isinstance(sentences, dict) else sentences
    return tuple(str(sentence) for sentence in ([sentences] if isinstance(sentences, str) else sentences))


def _rows(stored: h5py.Dataset) -> Floats:
    values = np.asarray(stored[()], np.float32)
    return values[:, None] if values.ndim == 1 else values


def _images(stored: h5py.Dataset) -> Images:
    if stored.dtype == np.uint8 and stored.ndim == 4:
        return np.asarray(stored[()])
    return np.stack([_decoded(stored.name, bytes(one)) for one in stored[()]])


def _decoded(name: str, data: bytes) -> Images:
    frame = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    if frame is None:
        raise ValueError(f"{name}: an image that is no JPEG")
    return np.asarray(frame, np.uint8)
