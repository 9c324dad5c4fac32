"""The record of one trial: its task, every decision, its outcome. One JSON file."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

from evaluation.errors import RecordError
from evaluation.plans.trial import Outcome, Trial
from evaluation.stages.trial_setup import TrialSetup
from robots.structure import Place, build

EPISODE_FILE = "episode.json"
VIDEO_FILE = "video.webm"
CHASE_FILE = "chase.webm"
POSTER_FILE = "chase.jpg"
FILMSTRIP_FILE = "filmstrip.jpg"
SCHEMA = 1


@dataclass(frozen=True)
class StepRecord:
    """One decision and its execution.

    Attributes:
        action: name of the chosen action; empty for a chunk.
        probability: of the chosen action; None for a chunk and for the expert.
        executed: True if the robot executed it.
        why_not: reason why it was refused, blocked or late; empty if it was executed.
        clipped: fields that limits clipped.
        late: True if it came after its deadline.
        timing_s: durations of "observe", "decide", "execute" and the policy's own parts.
    """

    action: str
    probability: float | None
    executed: bool
    why_not: str = ""
    clipped: tuple[str, ...] = ()
    late: bool = False
    timing_s: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Metrics:
    """Metrics of one trial; None if unknown.

    Attributes:
        steps: decisions, `done` included.
        late: decisions that came after their deadline.
        blocked: decisions that the robot did not execute.
        duration_s: wall clock time of the run.
        expert_steps: length of the expert's episode.
        sel: success weighted by episode length, in [0, 1]; None if it was aborted or the expert's length is unknown.
        path_length_m: distance driven by the base.
        collisions: motions that ended in contact.
        target_distance_m: from the base to the nearest target at the end.
        soft_success: for a physical grasp, success if everything within the hand's reach counted as held.
        rooms_visited: number of rooms that the robot entered.
        rooms: number of rooms in the house.
    """

    steps: int = 0
    late: int = 0
    blocked: int = 0
    duration_s: float = 0.0
    expert_steps: int | None = None
    sel: float | None = None
    path_length_m: float | None = None
    collisions: int | None = None
    target_distance_m: float | None = None
    soft_success: bool | None = None
    rooms_visited: int | None = None
    rooms: int | None = None

    @property
    def rooms_fraction(self) -> float | None:
        """Fraction of the rooms that the robot entered (FLaRe's "% rooms"); None if unknown."""
        return self.rooms_visited / self.rooms if self.rooms_visited is not None and self.rooms else None


@dataclass(frozen=True)
class Episode:
    """The record of one trial.

    Attributes:
        trial: the trial of the plan.
        outcome: never blank; it is "aborted" from the start on until the trial has ended.
        failure: kind of failure (`evaluation.stages.failure.KINDS`); empty for a success.
        note: the reason, in words.
        scene: its setup.
        metrics: its metrics.
        steps: every decision.
        path: base positions (x, y) [m]; empty when unknown.
        end: why the loop ended (`evaluation.step.Reason`); empty if it never began.
        bundle_sha256: hash of the policy's bundle; empty for the expert.
        manifest: name in the bundle's manifest; empty for the expert.
        embodiment: name of the embodiment.
        robot: name of the environment: "twin", "ros", "fake", ...
        git_commit: commit of Ferry; empty outside a git checkout.
        started: local time in ISO 8601 with its offset.
        attempt: 1, or more if it was repeated.
        schema: version of this format.
    """

    trial: Trial
    outcome: Outcome
    failure: str = ""
    note: str = ""
    scene: TrialSetup | None = None
    metrics: Metrics = Metrics()
    steps: tuple[StepRecord, ...] = ()
    path: tuple[tuple[float, float], ...] = ()
    end: str = ""
    bundle_sha256: str = ""
    manifest: str = ""
    embodiment: str = ""
    robot: str = ""
    git_commit: str = ""
    started: str = ""
    attempt: int = 1
    schema: int = SCHEMA

    @property
    def success(self) -> bool:
        """True for a success."""
        return self.outcome is Outcome.SUCCESS

    @property
    def is_finished(self) -> bool:
        """True unless the trial was cut off or interrupted, and has to be repeated."""
        return self.failure not in ("cut off", "interrupted")

    def write(self, folder: Path) -> None:
        """Writes episode.json into `folder` atomically."""
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / EPISODE_FILE, asdict(self))

    @classmethod
    def read(cls, folder: Path) -> Episode:
        """Reads the record in `folder`; RecordError names the wrong file and field."""
        path = folder / EPISODE_FILE
        place = Place(f"{folder.name}/{EPISODE_FILE}", error=RecordError)
        data = read_json(path)
        schema = data.get("schema") if isinstance(data, dict) else None
        if schema != SCHEMA:
            raise place.wrong(f"schema {schema}", f"schema {SCHEMA}")
        episode: Episode = build(cls, data, place)
        return episode


def write_json(path: Path, data: object) -> None:
    """Writes `data` atomically; ValueError if it contains NaN, which JSON cannot represent, OSError with the path."""
    write_text(path, json.dumps(data, allow_nan=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Writes a file atomically: a reader sees the old content or the new; OSError names the path."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_text(text, encoding="utf-8")
        os.replace(part, path)
    except OSError as error:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        raise OSError(error.errno, error.strerror, str(path)) from error


def read_json(path: Path) -> object:
    """Returns the content of a JSON file; RecordError if it is missing or not JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise RecordError(str(path), "no such file", "a JSON file") from error
    except RecursionError as error:
        raise RecordError(str(path), "values nested too deep", "JSON") from error
    except ValueError as error:
        raise RecordError(str(path), f"'{error}'", "JSON") from error
