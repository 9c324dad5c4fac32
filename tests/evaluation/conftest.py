"""Where no simulator and no server is installed (a robot), the tests that need them are left out, aloud."""

from __future__ import annotations

from importlib.util import find_spec

NEEDED = ("mujoco", "onnx", "onnxruntime", "fastapi")
MISSING = [name for name in NEEDED if find_spec(name) is None]
HEAVY = [
    f"test_evaluation_{name}.py"
    for name in ("trial_runner", "evaluate", "kills", "twin_environment", "floor", "policies", "tasks", "chase", "ray")
]

collect_ignore = HEAVY if MISSING else []


def pytest_report_header() -> str:
    """Says what is left out."""
    return f"evaluation: without {', '.join(MISSING)}: not tested: {', '.join(HEAVY)}" if MISSING else ""
