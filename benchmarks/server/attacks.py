"""What is left of a robot's answers while the policy server is attacked, and what the server's memory becomes.

    python -m benchmarks.server.attacks BUNDLE

A robot asks for decisions at 5 Hz with a deadline of 0.5 s, in a session of its own. Beside it runs one attack after
the other, in a process of its own, over loopback only; each ends when its time is over. A missed answer is one that the
client did not have within its deadline; the robot then opens a new session and goes on.
"""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import tyro

from benchmarks.server.attack_kinds import ATTACKS, body_of
from policy_server.client import ClientSession, PolicyClient
from policy_server.errors import PolicyError
from robots.observation import Observation

PERIOD_S, DEADLINE_S = 0.2, 0.5
SIZE = (84, 144)


@dataclass(frozen=True)
class Attacks:
    """Measures one bundle under attack."""

    bundle: tyro.conf.Positional[Path]
    """The bundle to serve."""
    seconds: float = 30.0
    """How long each attack lasts [s]."""
    only: str = ""
    """Attacks whose name holds this."""


@dataclass
class Seen:
    """What the robot saw during one attack."""

    answered_s: list[float] = field(default_factory=list)
    missed: list[str] = field(default_factory=list)

    @property
    def share(self) -> float:
        """Answers within the deadline [%]."""
        count = len(self.answered_s) + len(self.missed)
        return 100.0 * len(self.answered_s) / max(1, count)


class Robot:
    """A healthy client: 5 Hz, 0.5 s."""

    def __init__(self, url: str) -> None:
        self._client = PolicyClient(url, timeout_s=DEADLINE_S)
        self._session: ClientSession | None = None
        self._executed: str | None = None
        images = {name: np.full((*SIZE, 3), 90, np.uint8) for name in ("navigation", "manipulation")}
        self._observation = Observation(1, images, {"hand": np.array([0.0], np.float32)})

    def drive(self, seconds: float) -> Seen:
        """Asks until the time is over."""
        seen, end = Seen(), time.monotonic() + seconds
        while time.monotonic() < end:
            started = time.monotonic()
            try:
                self._ask()
                seen.answered_s.append(time.monotonic() - started)
            except PolicyError as error:
                seen.missed.append(f"{error.code}: {error}")
                self._session = None
            time.sleep(max(0.0, started + PERIOD_S - time.monotonic()))
        return seen

    def _ask(self) -> None:
        session = self._session
        if session is None or session.step >= session.spec.horizon:
            if session is not None:
                session.close()
            session, self._executed = self._client.open(body_of(SIZE), "find a mug"), None
            self._session = session
        self._executed = session.act(self._observation, self._executed).name


def main() -> None:
    """Runs every attack and prints a table."""
    args = tyro.cli(Attacks, description=__doc__)
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; {args.seconds:g} s each\n")
    print(f"| {'attack':36} | n | answered | p99 [ms] | RSS before, peak, after [MiB] | load |")
    print("|---|---|---|---|---|---|")
    with tempfile.TemporaryFile("w+") as log:
        for name in [name for name in ATTACKS if args.only in name]:
            with serving(args.bundle, log) as (url, pid):
                print(row(name, url, pid, args.seconds), flush=True)
        log.seek(0)
        text = log.read()
    print(f"\nThe server's log: {len(text)} characters, {text.count('Traceback')} tracebacks")


def row(name: str, url: str, pid: int, seconds: float) -> str:
    """One line of the table."""
    robot = Robot(url)
    robot.drive(2.0)  # opens its session
    before = memory(pid)
    attackers = [
        multiprocessing.get_context("spawn").Process(target=attack, args=(name, i, url, seconds), daemon=True)
        for i in range(len(ATTACKS[name]))
    ]
    for one in attackers:
        one.start()
    with peak_of(pid) as peak:
        seen = robot.drive(seconds)
    for one in attackers:
        one.join(20)
        one.kill()
    time.sleep(1.0)
    p99 = 1000 * float(np.percentile(seen.answered_s, 99)) if seen.answered_s else float("nan")
    counts = f"{len(seen.answered_s) + len(seen.missed)} | {seen.share:.1f} % | {p99:.0f}"
    why = f" {sorted(set(seen.missed))[:2]}" if seen.missed else ""
    return f"| {name:36} | {counts} | {before:.0f}, {peak[0]:.0f}, {memory(pid):.0f} | {os.getloadavg()[0]:.0f} |{why}"


def attack(name: str, number: int, url: str, seconds: float) -> None:
    """Runs one attacker until the time is over."""
    work, end = ATTACKS[name][number](url), time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            next(work)
        except OSError:
            work = ATTACKS[name][number](url)
            time.sleep(0.1)
    work.close()  # type: ignore[attr-defined]


@contextmanager
def peak_of(pid: int) -> Iterator[list[float]]:
    """Watches the memory of a process; the list's one entry is the largest [MiB]."""
    largest, over = [memory(pid)], threading.Event()

    def watch() -> None:
        while not over.wait(0.1):
            largest[0] = max(largest[0], memory(pid))

    thread = threading.Thread(target=watch)
    thread.start()
    yield largest
    over.set()
    thread.join()


def memory(pid: int) -> float:
    """Resident memory of a process [MiB]."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


@contextmanager
def serving(bundle: Path, log: object) -> Iterator[tuple[str, int]]:
    """Runs `ferry serve`; yields its URL and process id."""
    command = [sys.executable, "-m", "policy_server.serve", str(bundle), "--port", "0", "--threads", "1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True) as process:  # type: ignore[call-overload]
        assert process.stdout is not None
        line = process.stdout.readline()
        if " ready at " not in line:
            sys.exit("ferry serve did not start")
        try:
            yield line.split()[-1], process.pid
        finally:
            process.terminate()


if __name__ == "__main__":
    main()
