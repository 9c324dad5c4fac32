"""Checks that apply to every machine that runs Ferry."""

from __future__ import annotations

import shutil
from pathlib import Path

from ferry.doctor.check import CheckFailed, Machine, run_python
from simulation.errors import display_fix

DISK_GB = 2.0
"""Free space below which a run's videos and the mesh cache may not fit."""

_DRAW = "from simulation.rendering.gl import make_current; make_current()"


def check_python(machine: Machine) -> str:
    """Checks that Python is new enough: 3.10 on a robot's computer, 3.11 where policies are trained and served."""
    version = ".".join(map(str, machine.python))
    if machine.python < (3, 10):
        raise CheckFailed(version, "install a newer one: apt-get install -y python3.11 python3.11-venv")
    return version if machine.python >= (3, 11) else f"{version}: enough for a robot; training and serving need 3.11"


def check_gl(machine: Machine) -> str:
    """Checks that MuJoCo can render without a display."""
    run_python(_DRAW, f"{display_fix(machine.environment)}; pip install -e '.[sim]'")
    return "MuJoCo renders without a display"


def check_onnxruntime(_machine: Machine) -> str:
    """Checks that onnxruntime can be loaded."""
    return "onnxruntime " + run_python(
        "import policy_server, onnxruntime; print(onnxruntime.__version__)", "pip install -e '.[server]'"
    )


def check_disk(machine: Machine) -> str:
    """Checks the free disk space where runs are written."""
    folder = _existing(machine.folder)
    free_gb = shutil.disk_usage(folder).free / 1e9
    if free_gb < DISK_GB:
        raise CheckFailed(f"{free_gb:.1f} GB free in {folder}", "free some space: rm -r runs/ removes old runs")
    return f"{free_gb:.0f} GB free in {folder}"


def _existing(folder: Path) -> Path:
    """Returns a folder, or its nearest parent that exists."""
    return next(path for path in (folder, *folder.absolute().parents) if path.exists())
