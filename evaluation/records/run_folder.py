"""The folder of one evaluation: its plan, its policies, one folder per trial. An evaluation can be resumed."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from evaluation.errors import FolderError, RecordError
from evaluation.plans.plan import Plan
from evaluation.plans.trial import Outcome, Trial
from evaluation.policies import PolicyIdentity
from evaluation.records.episode import EPISODE_FILE, Episode, read_json, write_json
from robots.structure import Place, build

RUN_FILE = "run.json"
TRIALS = "trials"
SCHEMA = 1


@dataclass(frozen=True)
class RunInfo:
    """Description of an evaluation: the plan and its hash, the policies with their bundles, and Ferry's commit."""

    plan: Plan
    plan_sha256: str
    policies: tuple[PolicyIdentity, ...]
    git_commit: str = ""
    started: str = ""
    schema: int = SCHEMA


@dataclass(frozen=True)
class RunFolder:
    """An evaluation on disk."""

    path: Path
    info: RunInfo

    @classmethod
    def open(cls, path: Path, plan: Plan, policies: Sequence[PolicyIdentity]) -> RunFolder:
        """Begins the evaluation in `path`, or resumes it; FolderError if the folder belongs to another one."""
        if not (path / RUN_FILE).exists():
            if path.exists() and any(not file.name.startswith(".") for file in path.iterdir()):
                raise FolderError(f"{path}: the folder contains other files; pass another --output")
            path.mkdir(parents=True, exist_ok=True)
            started = datetime.now().astimezone().isoformat(timespec="seconds")
            info = RunInfo(plan, plan.sha256, tuple(policies), git_commit(), started)
            write_json(path / RUN_FILE, asdict(info))
            return cls(path, info)
        folder = cls.read(path)
        folder._check_same(plan, policies)
        return folder

    @classmethod
    def read(cls, path: Path) -> RunFolder:
        """Reads the evaluation in `path`; RecordError if there is none, or it cannot be read."""
        place = Place(f"{path.name}/{RUN_FILE}", error=RecordError)
        data = read_json(path / RUN_FILE)
        if not isinstance(data, dict) or data.get("schema") != SCHEMA:
            raise place.wrong(data.get("schema") if isinstance(data, dict) else data, f"schema {SCHEMA}")
        return cls(path, build(RunInfo, data, place))

    def trial(self, trial: Trial) -> Path:
        """The folder of a trial."""
        return self.path / TRIALS / trial.id

    def media(self, trial: Trial, name: str) -> Path | None:
        """Returns the file of a trial's image or video, None without one; FolderError if it is outside this folder."""
        path = self.trial(trial) / name
        if not path.exists() and not path.is_symlink():
            return None
        inside = path.resolve().parent == (self.path / TRIALS).resolve() / trial.id
        if path.is_symlink() or not path.is_file() or not inside:
            raise FolderError(f"{path}: got a link, expected a file of this trial; remove it")
        return path

    def episode(self, trial: Trial) -> Episode | None:
        """Returns the record of a trial; None if it was never begun."""
        folder = self.trial(trial)
        return Episode.read(folder) if (folder / EPISODE_FILE).exists() else None

    def episodes(self) -> tuple[Episode, ...]:
        """Returns every record, in the order of the plan."""
        return tuple(Episode.read(file.parent) for file in sorted(self.path.glob(f"{TRIALS}/*/{EPISODE_FILE}")))

    def left(self, *, retry_aborted: bool = False) -> tuple[Trial, ...]:
        """Returns the remaining trials: never begun, cut off, or (on request) aborted."""
        return tuple(trial for trial in self.info.plan.trials() if not self._is_done(trial, retry_aborted))

    def _is_done(self, trial: Trial, retry_aborted: bool) -> bool:
        episode = self.episode(trial)
        again = episode is None or not episode.is_finished or (retry_aborted and episode.outcome is Outcome.ABORTED)
        return not again

    def expect(self, policies: Sequence[PolicyIdentity]) -> None:
        """Raises FolderError unless these are the bundles that the evaluation was begun with."""
        for now, then in zip(policies, self.info.policies):
            if now.bundle_sha256 != then.bundle_sha256:
                raise FolderError(
                    f"{self.path}: policy '{now.name}': got bundle {now.bundle_sha256[:12]}, expected "
                    f"{then.bundle_sha256[:12]} as begun there; pass another --output"
                )

    def _check_same(self, plan: Plan, policies: Sequence[PolicyIdentity]) -> None:
        if plan.sha256 != self.info.plan_sha256:
            changed = [name for name, value in asdict(plan).items() if value != asdict(self.info.plan)[name]]
            raise FolderError(
                f"{self.path}: got plan '{plan.name}' with other {', '.join(changed)}, expected plan "
                f"'{self.info.plan.name}' as begun there; pass another --output"
            )
        self.expect(policies)


def git_commit() -> str:
    """Returns Ferry's commit, with "-dirty" for uncommitted changes; empty outside a git checkout."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        result = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return result.stdout.strip() if result.returncode == 0 else ""
