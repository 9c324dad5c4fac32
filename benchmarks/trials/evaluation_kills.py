"""`ferry evaluate` killed at random and started again at once: what becomes of its records.

    python -m benchmarks.trials.evaluation_kills --kills 20

The main process is killed with SIGKILL at a random moment, and the same command starts in the same instant. Meanwhile
every record is read over and over: one that was finished must stay as it is. At the end the records are compared with
those of a run that nobody interrupted. A second run beside the first is tried before the later kills.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tyro

from evaluation.records.episode import Episode
from evaluation.records.folder_lock import LOCK
from evaluation.records.run_folder import RunFolder

PLAN = """\
name: kills
seed: 3
max_steps: {steps}
policies:
  - {{name: mini, bundle: {bundle}}}
  - {{name: random, bundle: {bundle}, sampling: uniform}}
houses: {{split: test, start: 0, count: {houses}}}
"""


@dataclass(frozen=True)
class Options:
    """Kills `ferry evaluate` at random."""

    kills: int = 20
    houses: int = 60
    steps: int = 300
    workers: int = 2
    longest_s: float = 16.0
    """A kill comes at most so long after the start."""
    bundle: Path = Path("policies/objectnav_stretch_mini")
    seed: int = 0


@dataclass
class Seen:
    """What was seen of the records while the evaluation was killed and started."""

    finished: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    set_back: int = 0
    changed: int = 0
    corrupt: int = 0
    reads: int = 0

    def look(self, folder: Path) -> None:
        """Reads every record once."""
        for path in folder.glob("trials/*/episode.json"):
            try:
                record = json.loads(path.read_text(encoding="utf-8"))
            except ValueError:
                self.corrupt += 1
                continue
            self.reads += 1
            known, done = self.finished.get(path.parent.name), record["failure"] not in ("cut off", "interrupted")
            self.set_back += known is not None and not done
            self.changed += known is not None and done and known != record
            if done:
                self.finished[path.parent.name] = record


def main() -> None:
    """Prints one line of figures as JSON."""
    options = tyro.cli(Options)
    with tempfile.TemporaryDirectory() as place:
        print(json.dumps(measure(options, Path(place))))


def measure(options: Options, place: Path) -> dict[str, Any]:
    """The figures of `options.kills` kills, and of the run to its end after them."""
    plan, rng = place / "plan.yaml", random.Random(options.seed)
    plan.write_text(PLAN.format(bundle=options.bundle, houses=options.houses, steps=options.steps), encoding="utf-8")
    whole_s = -time.monotonic()
    assert start(plan, place / "whole", options).wait() == 0
    whole_s += time.monotonic()
    seen, alive, tried, refused, killed = Seen(), 0, 0, 0, 0
    before: set[int] = set()
    with watched(seen, place / "killed"):
        process = start(plan, place / "killed", options)
        for _ in range(options.kills):
            began_s, moment_s = time.monotonic(), rng.uniform(0.0, options.longest_s)
            time.sleep(moment_s / 2)
            if holds(process.pid, place / "killed"):
                alive += any(map(runs, before))
                tried, refused = tried + 1, refused + (start(plan, place / "killed", options).wait() == 2)
            time.sleep(max(0.0, began_s + moment_s - time.monotonic()))
            if process.poll() is not None:
                break
            killed += 1
            before = children(process.pid)
            process.kill()
            process.wait()
            process = start(plan, place / "killed", options)
        status = process.wait()
    pairs = list(zip(episodes(place / "killed"), episodes(place / "whole")))
    return {
        "kills": killed,
        "seconds uninterrupted": round(whole_s, 1),
        "exit status at last": status,
        "records": len(episodes(place / "killed")),
        "of": len(episodes(place / "whole")),
        "finished": len(seen.finished),
        "set back": seen.set_back,
        "changed after they were finished": seen.changed,
        "corrupt": seen.corrupt,
        "reads": seen.reads,
        "other than uninterrupted": sum(differ(*pair) for pair in pairs if not any(one.metrics.late for one in pair)),
        "with late decisions": sum(any(one.metrics.late for one in pair) for pair in pairs),
        "restarts beside old workers": alive,
        "second runs": tried,
        "second runs refused": refused,
        "left over": len(list((place / "killed").glob("trials/*/.*"))),
    }


def start(plan: Path, folder: Path, options: Options) -> subprocess.Popen[bytes]:
    """The command, quiet."""
    words = ["evaluate", str(plan), "--output", str(folder), "--workers", str(options.workers), "--no-video"]
    silent = subprocess.DEVNULL
    return subprocess.Popen([sys.executable, "-m", "ferry", *words], stdout=silent, stderr=silent)


def holds(pid: int, folder: Path) -> bool:
    """Whether the evaluation of a process has begun in `folder`; before that another one may be the first."""
    try:
        return int((folder / LOCK).read_text()) == pid and runs(pid)
    except (OSError, ValueError):
        return False


def children(pid: int) -> set[int]:
    """Processes that a process has started and that still run."""
    try:
        return {int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()}
    except OSError:
        return set()


def runs(pid: int) -> bool:
    """Whether a process lives; one that is dead and not waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def episodes(folder: Path) -> tuple[Episode, ...]:
    """The records of an evaluation."""
    return RunFolder.read(folder).episodes()


def differ(one: Episode, other: Episode) -> bool:
    """Whether two records of a trial differ in actions, path or outcome.

    A decision that came late, on a busy machine, was not executed: such a trial is another one each time.
    """
    values = [([step.action for step in each.steps], each.path, each.outcome, each.trial) for each in (one, other)]
    return values[0] != values[1]


@contextmanager
def watched(seen: Seen, folder: Path) -> Iterator[None]:
    """Looks at the records all the time."""
    over = threading.Event()

    def look() -> None:
        while not over.wait(0.02):
            seen.look(folder)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        seen.look(folder)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: os._exit(143))
    main()
