"""`ferry serve` as a process, and what it holds: memory, descriptors, threads, processor time."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Server:
    """A server that runs: its URL, the URL of its dialect's clients (its own without one), and its process."""

    url: str
    dialect_url: str
    pid: int


@dataclass(frozen=True)
class Held:
    """What a process holds at one moment."""

    rss_mib: float
    descriptors: int
    threads: int
    cpu_s: float


@contextmanager
def served(bundle: Path, *arguments: str, dialect: str = "ferry", threads: int = 0) -> Iterator[Server]:
    """Runs `ferry serve` on free ports until the block ends."""
    command = [sys.executable, "-m", "policy_server.serve", str(bundle), "--port", "0", "--threads", str(threads)]
    command += ["--dialect", dialect, "--dialect-port", "0", "--max-sessions", "64", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            line = process.stdout.readline()
            if " ready at " not in line:
                sys.exit("ferry serve did not start")
            url = line.split()[-1]
            address = url.removeprefix("http://")
            if dialect == "gr00t":
                address = process.stdout.readline().split()[-1].removeprefix("tcp://")
            yield Server(url, url if dialect == "ferry" else f"{dialect}://{address}", process.pid)
        finally:
            process.terminate()


def held(pid: int) -> Held:
    """Returns what process `pid` holds now."""
    status = Path(f"/proc/{pid}/status").read_text()
    fields = dict(line.split(":", 1) for line in status.splitlines())
    # utime and stime are fields 14 and 15; the second field may hold spaces.
    times = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    cpu_s = sum(map(int, times)) / os.sysconf("SC_CLK_TCK")
    rss_mib = int(fields["VmRSS"].split()[0]) / 1024
    return Held(rss_mib, len(os.listdir(f"/proc/{pid}/fd")), int(fields["Threads"]), cpu_s)
