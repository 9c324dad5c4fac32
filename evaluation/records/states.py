"""Base pose and joints of a trial's robot at each decision: what a video from outside is rendered from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from evaluation.errors import RecordError
from evaluation.records.episode import read_json, write_json
from robots.observation import Observation
from robots.structure import Place, build

STATES_FILE = "states.json"
SCHEMA = 1

Pose = tuple[float, float, float]


@dataclass(frozen=True)
class State:
    """One observation: the base's pose (x_m, y_m, yaw_rad), and the state groups as in `Observation.state`."""

    pose: Pose
    state: Mapping[str, tuple[float, ...]] = field(default_factory=dict)

    @classmethod
    def of(cls, pose: Pose, observation: Observation) -> State:
        """Returns the state at an observation, rounded to 0.1 mm or mrad."""
        x, y, yaw = (round(float(value), 4) for value in pose)
        groups = {name: tuple(round(float(one), 4) for one in row) for name, row in observation.state.items()}
        return cls((x, y, yaw), groups)


@dataclass(frozen=True)
class States:
    """The states of a trial.

    Attributes:
        cameras: where each camera's image is in a frame of the trial's video: x, y, width, height [pixels].
        states: one for each decision, and one after the last.
        schema: version of this format.
    """

    cameras: tuple[tuple[int, int, int, int], ...]
    states: tuple[State, ...]
    schema: int = SCHEMA

    def write(self, folder: Path) -> None:
        """Writes states.json into `folder` atomically."""
        write_json(folder / STATES_FILE, asdict(self))

    @classmethod
    def read(cls, folder: Path) -> States:
        """Reads the states in `folder`; RecordError names the wrong file and field."""
        data = read_json(folder / STATES_FILE)
        place = Place(f"{folder.name}/{STATES_FILE}", error=RecordError)
        if not isinstance(data, dict) or data.get("schema") != SCHEMA:
            raise place.wrong(data.get("schema") if isinstance(data, dict) else data, f"schema {SCHEMA}")
        states: States = build(cls, data, place)
        return states
