"""Starts a launch file in its own ROS domain, and ends it with the context."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from ferry.errors import DemoError
from ferry.launcher.parent import end_with_parent
from ferry.ros_domain import own_domain
from policy_server.errors import PolicyError
from policy_server.wire.connection import Connection

END_S = 30.0
"""Longer than the launcher needs to end a node and a fake that ignore signals: twice its grace period for each."""


@contextmanager
def running(launch: str, arguments: Mapping[str, str], logs: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Runs a launch file in its own process, with one log per process; ends it with the context.

    Args:
        launch: name or path of the launch file.
        arguments: of the launch file.
        logs: folder of the logs; `launch.log` holds all of them in order of time.
    """
    logs.mkdir(parents=True, exist_ok=True)
    words = [f"{name}:={value}" for name, value in arguments.items()]
    command = [sys.executable, "-m", "ferry", "run", launch, *words, "--log-dir", str(logs)]
    with (logs / "launch.log").open("wb") as log:
        process = subprocess.Popen(
            command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True,
            preexec_fn=end_with_parent(), env=isolated(),
        )  # fmt: skip
        try:
            yield process
        finally:
            _end(process)


def isolated() -> dict[str, str]:
    """Returns an environment whose ROS domain only this process and its children use, on this machine."""
    return {**os.environ, "ROS_DOMAIN_ID": str(own_domain()), "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}


def free_port() -> int:
    """Returns a free TCP port of this machine."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def wait_for_server(url: str, process: subprocess.Popen[bytes], logs: Path, timeout_s: float) -> None:
    """Waits until the policy server of a launch is ready.

    Raises:
        DemoError: the launch has ended, or the timeout has passed; the message ends with the log's last line.
    """
    deadline = time.monotonic() + timeout_s
    with closing(Connection(url)) as server:
        while time.monotonic() < deadline:
            if process.poll() is not None:
                raise DemoError(f"the launch ended with exit status {process.returncode}: {last_line(logs)}")
            with suppress(PolicyError):
                server.send("GET", "/readyz", timeout_s=1.0)
                return
            time.sleep(0.2)
    raise DemoError(f"the policy server was not ready within {timeout_s:.0f} s: {last_line(logs)}")


def last_line(logs: Path) -> str:
    """Returns the last non-empty line of a launch's output, with the log's name."""
    log = logs / "launch.log"
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines() if log.exists() else []
    printed = [line for line in lines if line.strip() and not line.startswith("[ferry run]")]
    return f"{printed[-1] if printed else 'no output'} (see {log})"


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
    try:
        process.wait(END_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
