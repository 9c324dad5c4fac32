"""The walls between the rooms: declared in pyproject.toml, kept by import-linter, and true at run time."""

import subprocess
import sys
from pathlib import Path

import pytest
import tomllib

ROOT = Path(__file__).parents[2]

WITHOUT_TORCH = """
import sys

class NoTorch:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {blocked}:
            raise ImportError(f"the robot side imported {{name}}")

sys.meta_path.insert(0, NoTorch())
import {modules}
"""


def run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)


def test_import_linter_finds_every_wall_standing() -> None:
    program = Path(sys.executable).with_name("lint-imports")
    result = subprocess.run([program], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize(
    "modules",
    [
        "robots, robots.fakes.kinematic, robots.execution.executor",
        "policy_server.client, policy_server.policies",
        "evaluation.runner",
        "ferry.cli",
        "ferry_ros.messages.convert",
    ],
)
def test_the_robot_side_imports_with_torch_and_the_server_absent(modules: str) -> None:
    blocked = {"torch", "transformers", "onnxruntime", "fastapi", "mujoco"}
    result = run(WITHOUT_TORCH.format(blocked=blocked, modules=modules))
    assert result.returncode == 0, result.stderr


def test_the_blocker_blocks() -> None:
    result = run(WITHOUT_TORCH.format(blocked={"json"}, modules="json"))
    assert "the robot side imported json" in result.stderr


def test_the_launch_folder_never_shadows_ros_launch() -> None:
    assert not (ROOT / "launch" / "__init__.py").exists()


def test_the_robot_side_installs_at_most_six_packages() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert len(project["dependencies"] + project["optional-dependencies"]["robot"]) <= 6
