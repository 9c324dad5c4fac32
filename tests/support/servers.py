"""A real policy server for tests: uvicorn on a free port, in a thread of this process or as `ferry serve`."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from fastapi import FastAPI

from policy_server.bundle import PolicyBundle
from policy_server.serve import DrainingServer, listen
from policy_server.serving.app import create_app
from policy_server.serving.service import ServiceOptions


@contextmanager
def serving(folder: Path, options: ServiceOptions | None = None, port: int = 0) -> Iterator[str]:
    """Serves the bundle in `folder` from a thread; yields the URL once it is ready."""
    ready = threading.Event()
    app = create_app(PolicyBundle.load(folder, threads=1), options, announce=ready.set)
    with running(app, port) as url:
        assert ready.wait(20)
        yield url


@contextmanager
def running(app: FastAPI, port: int = 0) -> Iterator[str]:
    """Runs `app` in a thread; yields its URL, at once."""
    with listen("127.0.0.1", port) as listener:
        server = DrainingServer(app)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


@contextmanager
def ferry_serve(
    folder: Path | str, *arguments: str, more: Sequence[str] = ()
) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Runs `ferry serve` as a process of its own; yields the URL and the process once it says that it is ready.

    `more` are further bundles.
    """
    command = [sys.executable, "-m", "policy_server.serve", str(folder), *more, "--port", "0", "--threads", "1"]
    command += arguments
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        assert " ready at " in line, line
        yield line.split()[-1], process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def wait_until(condition: object, seconds: float = 30.0) -> None:
    """Returns once `condition()` is true; AssertionError when it is not within `seconds`."""
    assert callable(condition)
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "condition not met in time"
        time.sleep(0.01)
