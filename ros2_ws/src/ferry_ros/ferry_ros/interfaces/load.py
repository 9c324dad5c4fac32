"""Finds a message package, or has it built."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from importlib import invalidate_caches
from importlib.util import find_spec
from pathlib import Path
from typing import TextIO

from ferry_ros.interfaces.definitions import DEFINITIONS
from robots.errors import ConnectionFailed

LONGEST_S = 300.0
"""Building a package takes about 10 s on two idle cores."""


def ensure(package: str, folder: Path | None = None) -> None:
    """Makes `package` importable; ConnectionFailed says how to install it.

    Args:
        package: a key of DEFINITIONS.
        folder: where built ones are kept; the user's cache, `$XDG_CACHE_HOME` or `~/.cache`, when None.
    """
    if find_spec(package) is None:
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        sys.path.append(str(_built(package, folder or cache / "ferry" / "interfaces")))
        invalidate_caches()


def _built(package: str, folder: Path) -> Path:
    """The folder to import `package` from; one process builds it while others wait."""
    there = folder / f"{package}-{_digest(package)}"
    if there.exists():  # whole, as it was renamed; the folder may be read-only
        return there
    with _locked(folder, package) as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not there.exists():
            print(f"building {package} from its definitions, once for this computer ...", file=sys.stderr)
            _build(package, there)
    return there


def _locked(folder: Path, package: str) -> TextIO:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return (folder / f"{package}.lock").open("w")
    except OSError as error:
        raise ConnectionFailed(
            f"{package} is not installed: source the workspace of the robot's vendor before this. It cannot be built"
            f" here either, as its folder is not writable: {error}; set XDG_CACHE_HOME to a folder that is"
        ) from error


def _build(package: str, there: Path) -> None:
    """In a process of its own, as the generators look for their parts in an environment variable."""
    missing = [tool for tool in ("gcc", "g++") if shutil.which(tool) is None]
    prefixes = os.pathsep.join(filter(None, (sys.prefix, os.environ.get("AMENT_PREFIX_PATH"))))
    with tempfile.TemporaryDirectory(dir=there.parent) as scratch:
        command = [sys.executable, "-m", "ferry_ros.interfaces.build", package, scratch]
        path = os.pathsep.join(filter(None, sys.path))
        environment = {**os.environ, "AMENT_PREFIX_PATH": prefixes, "PYTHONPATH": path}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=LONGEST_S)
        if done.returncode:
            reason = f"{', '.join(missing)} not found" if missing else "\n".join(done.stderr.splitlines()[-5:])
            raise ConnectionFailed(
                f"{package} is not installed: source the workspace of the robot's vendor before this. Building it here"
                f" failed: {reason}"
            )
        (Path(scratch) / "out").rename(there)


def _digest(package: str) -> str:
    """Of what a built one depends on: its definitions, Python and the environment that holds ROS."""
    parts = (sorted(DEFINITIONS[package].items()), sys.version, sys.prefix)
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:12]
