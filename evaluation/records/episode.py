"""The record of one trial: what was asked, what was done, what became of it. One JSON file."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

from evaluation.errors import RecordError
from evaluation.plans.structure import Place, build
from evaluation.plans.trial import Outcome, Trial
from evaluation.stages.trial_setup import TrialSetup

EPISODE_FILE = "episode.json"
VIDEO_FILE = "video.webm"
FILMSTRIP_FILE = "filmstrip.jpg"
SCHEMA = 1


@dataclass(frozen=True)
class StepRecord:
    """One decision and what became of it.

    Attributes:
        action: name of the chosen action; empty for a chunk.
        probability: of the chosen action; None for a chunk and for the expert.
        executed: whether the body did it.
        why_not: why it was refused, blocked or late; empty when it was executed.
        clipped: fields that limits changed.
        late: whether it came after its deadline.
        timing_s: how long "observe", "decide", "execute" and the policy's own parts took.
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
    """Numbers of one trial; None where nobody knows.

    Attributes:
        steps: decisions, `done` included.
        late: decisions that came after their deadline.
        blocked: decisions that the body did not carry out.
        duration_s: wall clock time of the run.
        expert_steps: decisions the expert needs here.
        sel: success weighted by episode length, in [0, 1]; None when it was aborted or the expert's length is unknown.
        path_length_m: how far the base drove.
        collisions: motions that ended in contact.
        target_distance_m: from the base to the nearest target at the end.
        soft_success: whether it would have been a success if whatever the hand reaches were held; of a physical grasp.
        rooms_visited: rooms that the robot was in.
        rooms: rooms that there are.
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
    def rooms_share(self) -> float | None:
        """Share of the rooms that the robot was in (FLaRe's "% rooms"); None when unknown."""
        return self.rooms_visited / self.rooms if self.rooms_visited is not None and self.rooms else None


@dataclass(frozen=True)
class Episode:
    """The record of one trial.

    Attributes:
        trial: what was to be done.
        outcome: never blank; a trial that was cut off is recorded as aborted from its start on.
        failure: kind of failure (`evaluation.stages.failure.KINDS`); empty for a success.
        note: why, in words.
        scene: where it began.
        metrics: numbers.
        steps: every decision.
        path: base positions (x, y) [m]; empty when unknown.
        end: why the loop ended (`evaluation.step.Reason`); empty when it never began.
        bundle_sha256: names the policy's bundle; empty for the expert.
        manifest: name in the bundle's manifest; empty for the expert.
        embodiment: name of the body.
        robot: "twin", "ros", "fake" or what the place calls itself.
        git_commit: of this program; empty where it is not a git checkout.
        started: local time in ISO 8601 with its offset.
        attempt: 1, or more when it was cut off before and done again.
        schema: version of this record.
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
        """Whether it was a success."""
        return self.outcome is Outcome.SUCCESS

    @property
    def is_finished(self) -> bool:
        """Whether it need not be done again: it came to an end that nobody interrupted."""
        return self.failure not in ("cut off", "interrupted")

    def write(self, folder: Path) -> None:
        """Writes episode.json into `folder` in one move: a reader sees the old file or the new one."""
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / EPISODE_FILE, asdict(self))

    @classmethod
    def read(cls, folder: Path) -> Episode:
        """The record in `folder`; RecordError says which file and field is wrong."""
        path = folder / EPISODE_FILE
        place = Place(f"{folder.name}/{EPISODE_FILE}", error=RecordError)
        data = read_json(path)
        schema = data.get("schema") if isinstance(data, dict) else None
        if schema != SCHEMA:
            raise place.wrong(f"schema {schema}", f"schema {SCHEMA}")
        episode: Episode = build(cls, data, place)
        return episode


def write_json(path: Path, data: object) -> None:
    """Writes `data` in one move; ValueError when it holds a NaN, which JSON does not know, OSError with the file."""
    write_text(path, json.dumps(data, allow_nan=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Writes a file in one move, so that a reader sees the old one or the whole new one; OSError names it."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_text(text, encoding="utf-8")
        os.replace(part, path)
    except OSError as error:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        raise OSError(error.errno, error.strerror, str(path)) from error


def read_json(path: Path) -> object:
    """What the file holds; RecordError when it is missing or no JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise RecordError(str(path), "no such file", "a JSON file") from error
    except RecursionError as error:
        raise RecordError(str(path), "values nested too deep", "JSON") from error
    except ValueError as error:
        raise RecordError(str(path), f"'{error}'", "JSON") from error
