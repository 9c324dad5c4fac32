"""What worker processes do in tests. Imports little, because each worker imports it anew."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from simulation.worker_pool import Report


class Double:
    """Twice the number; says so in steps."""

    def __call__(self, job: int, report: Report) -> int:
        """Does one job."""
        report(job)
        return 2 * job


class Refuse:
    """Cannot do any job."""

    def __call__(self, job: int, report: Report) -> int:
        """Raises."""
        raise ValueError(f"no mug in house {job}")


class Trouble:
    """The first worker that gets job `bad` goes wrong in some way; who gets it next does it."""

    def __init__(self, how: str, mark: Path, bad: int = 1) -> None:
        self.how, self.mark, self.bad = how, mark, bad

    def __call__(self, job: int, report: Report) -> str:
        """Returns the job and the process that did it."""
        if job == self.bad and not self.mark.exists():
            self.mark.write_text(str(os.getpid()))
            if self.how == "hangs":
                time.sleep(600)
            os.kill(os.getpid(), signal.SIGKILL)
        return f"{job} by {os.getpid()}"


class Deadly:
    """Every job kills its worker; counts how often."""

    def __init__(self, log: Path) -> None:
        self.log = log

    def __call__(self, job: int, report: Report) -> None:
        """Dies."""
        with self.log.open("a") as file:
            file.write("x")
        os.kill(os.getpid(), signal.SIGKILL)


class Pid:
    """Says which process it is, after a while."""

    def __call__(self, job: int, report: Report) -> int:
        """Returns the process id."""
        time.sleep(0.02)
        return os.getpid()


class Slow:
    """Job 0 is done at once; any other reports all the time and takes a minute."""

    def __call__(self, job: int, report: Report) -> int:
        """Returns the job."""
        for _ in range(6000 if job else 0):
            time.sleep(0.01)
            report(1)
        return job


class NoWork:
    """Cannot even be made."""

    def __init__(self) -> None:
        raise FileNotFoundError("no policy in the bundle")

    def __call__(self, job: int, report: Report) -> int:
        """Never called."""
        raise AssertionError


class Size:
    """Says how long a job is, and which process it is."""

    def __call__(self, job: bytes, report: Report) -> tuple[int, int]:
        """Returns the length and the process id."""
        report(0)
        return len(job), os.getpid()
