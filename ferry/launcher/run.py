"""Runs the processes of a launch: prefixed output, a common shutdown, and escalating signals."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TextIO

from ferry.errors import LaunchError
from ferry.launcher.parent import end_with_parent
from ferry.launcher.plan import Process
from robots.processes.outlet import MOST_BYTES, Outlet, to_file, write_all
from robots.processes.signals import endings

GRACE_S = 5.0
"""Time between SIGINT, SIGTERM and SIGKILL: the defaults of ROS 2's launch (sigterm_timeout, sigkill_timeout)."""

DRAIN_S = 1.0
"""Time for reading the remaining output of a process that has ended; a grandchild may hold the pipe open for ever."""

MOST_SAID_BYTES = 2000
"""Of a line that is repeated."""

_LOGGER = re.compile(r"^(\x1b\[\d*m)*\[\w+\] \[[\d.]+\] \[[^\]]+\]: ")
"""What ROS's logger writes before a message: level, time, name."""

_COLOURS = (36, 33, 35, 32, 34, 31)


@dataclass(frozen=True)
class RunOptions:
    """Options of a run."""

    log_dir: Path | None = None
    """Folder for the logs, one file per process."""
    grace_s: float = GRACE_S
    screen: TextIO = field(default_factory=lambda: sys.stdout)


def run(processes: Sequence[Process], options: RunOptions | None = None) -> int:
    """Runs processes until one of them ends or a signal arrives, then ends them all.

    The last line on the screen is then the last one of the process that ended first: a verdict, or an error. A process
    that is to be respawned does not end the launch. On SIGINT or SIGTERM every process group gets SIGINT,
    after `grace_s` SIGTERM, after that SIGKILL; a further signal escalates at once.

    Returns:
        The exit status of the process that ended first (128 + n when signal n killed it); after a signal 0, or 1 when
        a process had to be killed.

    Raises:
        LaunchError: a process cannot be started.
        OSError: the folder of the logs cannot be created.
    """
    options = options or RunOptions()
    if options.log_dir is not None:
        options.log_dir.mkdir(parents=True, exist_ok=True)
    launch = _Launch(processes, options)
    try:
        return asyncio.run(launch.run())
    finally:
        for outlet in (launch.screen.outlet, *launch.logs.values()):
            outlet.close()


class _Launch:
    """One run."""

    def __init__(self, processes: Sequence[Process], options: RunOptions) -> None:
        self.processes, self.options = processes, options
        self.screen = _Screen(options.screen, processes)
        self.logs: dict[str, Outlet] = {}
        self.alive: dict[str, asyncio.subprocess.Process] = {}
        self.killed = False
        self.last_lines: dict[str, bytes] = {}
        self.signalled = asyncio.Event()
        self.stopping = asyncio.Event()

    async def run(self) -> int:
        loop = asyncio.get_running_loop()
        for number in endings():
            loop.add_signal_handler(number, self.signalled.set)
        lives = [asyncio.create_task(self.live(process), name=process.name) for process in self.processes]
        waiting = asyncio.create_task(self.signalled.wait())
        try:
            await asyncio.wait([*lives, waiting], return_when=asyncio.FIRST_COMPLETED)
            ended = next((life for life in lives if life.done()), None)
            if ended is not None and ended.exception() is None:
                self.screen.say(f"{ended.get_name()} ended with exit status {ended.result()}: stopping the others")
        finally:
            waiting.cancel()
            await self.stop(lives)
        if ended is not None:
            self.repeat(ended.get_name())
            return ended.result()
        return 1 if self.killed else 0

    async def live(self, process: Process) -> int:
        """Runs one process, and restarts it if it is to be respawned; returns its last exit status."""
        while True:
            status = await self.once(process)
            if process.respawn and not self.stopping.is_set():
                self.screen.say(f"{process.name} ended with exit status {status}: starting it again")
                with contextlib.suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(self.stopping.wait(), process.respawn_delay_s)
            if self.stopping.is_set() or not process.respawn:
                return status

    async def once(self, process: Process) -> int:
        child = await self.start(process)
        self.alive[process.name] = child
        if self.stopping.is_set():
            _signal_group(child.pid, signal.SIGINT)
        assert child.stdout is not None
        assert child.stderr is not None
        log = self.log(process)
        copies = [
            asyncio.create_task(self.copy(child.stdout, process.name, log, process.output != "log")),
            asyncio.create_task(self.copy(child.stderr, process.name, log, True)),
        ]
        await _exit_of(child.pid)
        del self.alive[process.name]
        _signal_group(child.pid, signal.SIGKILL)
        reaped = asyncio.create_task(child.wait())
        await asyncio.wait([reaped, *copies], timeout=DRAIN_S)
        for task in (reaped, *copies):
            task.cancel()
        while child.returncode is None:
            await asyncio.sleep(0.01)
        return child.returncode if child.returncode >= 0 else 128 - child.returncode

    async def start(self, process: Process) -> asyncio.subprocess.Process:
        environment = {**os.environ, "PYTHONUNBUFFERED": "1", **process.program.environment, **process.environment}
        try:
            return await asyncio.create_subprocess_exec(
                *process.command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                env=environment,
                start_new_session=True,
                preexec_fn=end_with_parent(),
            )
        except OSError as error:
            raise LaunchError(process.where, f"{process.name} cannot be started", error.strerror) from error

    def log(self, process: Process) -> Outlet | None:
        """Returns the log of a process, which it keeps when it is restarted; None without a log folder."""
        if self.options.log_dir is not None and process.name not in self.logs:
            path = self.options.log_dir / f"{process.name}.log"
            with suppress(OSError):  # a process without output gets an empty log
                path.touch()
            self.logs[process.name] = Outlet(to_file(path))
        return self.logs.get(process.name)

    async def copy(self, source: asyncio.StreamReader, name: str, log: Outlet | None, show: bool) -> None:
        """Copies output as it arrives, without waiting for screen or log; a long line stays one line on the screen."""
        rest = b""
        while chunk := await source.read(65536):
            if log is not None:
                log.put(chunk)
            *lines, rest = (rest + chunk).split(b"\n")
            if len(rest) > MOST_BYTES:
                lines, rest = [*lines, rest], b""
            self.show(name, lines if show else ())
        self.show(name, [rest] if rest and show else ())

    def show(self, name: str, lines: Sequence[bytes]) -> None:
        """Writes a process's lines to the screen."""
        for line in lines:
            self.screen.line(name, line)
            if line.strip():
                self.last_lines[name] = line[:MOST_SAID_BYTES]

    def repeat(self, name: str) -> None:
        """Says again the last line of a process, which the ends of the others have buried."""
        if len(self.processes) > 1 and (line := self.last_lines.get(name, b"").decode(errors="replace").strip()):
            self.screen.say(f"{name}: {_LOGGER.sub('', line).removesuffix(chr(27) + '[0m')}")

    async def stop(self, lives: Sequence[asyncio.Task[int]]) -> None:
        """Ends every process, fakes last: a driver closes its robot while that still answers."""
        self.stopping.set()
        fakes = {process.name for process in self.processes if process.is_fake}
        await self.end([life for life in lives if life.get_name() not in fakes])
        await self.end([life for life in lives if life.get_name() in fakes])
        await asyncio.gather(*lives, return_exceptions=True)

    async def end(self, lives: Sequence[asyncio.Task[int]]) -> None:
        """Ends some processes: SIGINT, then SIGTERM, then SIGKILL."""
        names = {life.get_name() for life in lives}
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
            if all(life.done() for life in lives):
                break
            alive = {name: child for name, child in self.alive.items() if name in names}
            if number != signal.SIGINT:
                self.screen.say(f"still running: {', '.join(alive)}: sending {number.name}")
            self.killed = self.killed or number == signal.SIGKILL
            for child in alive.values():
                _signal_group(child.pid, number)
            await self.wait(lives)

    async def wait(self, lives: Sequence[asyncio.Task[int]]) -> None:
        """Waits for the processes to end, the grace period, or a further signal, whichever comes first."""
        self.signalled.clear()
        again = asyncio.create_task(self.signalled.wait())
        ended = asyncio.create_task(asyncio.wait(lives))
        await asyncio.wait({again, ended}, timeout=self.options.grace_s, return_when=asyncio.FIRST_COMPLETED)
        for task in (again, ended):
            task.cancel()


class _Screen:
    """Writes whole lines, each prefixed by its process; lines that it does not accept are dropped and counted."""

    def __init__(self, out: TextIO, processes: Sequence[Process]) -> None:
        self.has_colours = out.isatty()
        self.colours = {process.name: _COLOURS[at % len(_COLOURS)] for at, process in enumerate(processes)}
        self.outlet = Outlet(_writer(out))

    def line(self, name: str, line: bytes) -> None:
        prefix = f"\033[{self.colours.get(name, 0)}m[{name}]\033[0m" if self.has_colours else f"[{name}]"
        self.outlet.put(f"{prefix} {line.decode(errors='replace').rstrip()}\n".encode())

    def say(self, text: str) -> None:
        self.line("ferry run", text.encode())


def _writer(out: TextIO) -> Callable[[bytes], object]:
    """Writes to the descriptor of `out`, if it has one, unbuffered: Python's exit then has nothing to flush."""
    try:
        return partial(write_all, out.fileno())
    except (OSError, ValueError):  # an in-memory text stream
        return lambda data: out.write(data.decode())


async def _exit_of(pid: int) -> None:
    """Waits for the process itself, not for the pipes that its children may have inherited (as asyncio's wait does)."""
    ended = asyncio.Event()
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    asyncio.get_running_loop().add_reader(descriptor, ended.set)
    try:
        await ended.wait()
    finally:
        asyncio.get_running_loop().remove_reader(descriptor)
        os.close(descriptor)


def _signal_group(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)
