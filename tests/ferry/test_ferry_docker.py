"""The container files, held against the repository. docker/build and docker/try run them; no engine is needed here."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from ferry.launcher.arguments import declared, parse_assignments
from ferry.launcher.lookup import REPOSITORY

DOCKER = REPOSITORY / "docker"
FILES = sorted(DOCKER.glob("*.Dockerfile"))
LATER = {"policies"}  # written by `ferry train` and `ferry export`; the first bundle arrives with the demonstration


def instructions(file: Path, word: str) -> list[list[str]]:
    text = file.read_text().replace("\\\n", " ")
    return [line.split()[1:] for line in text.splitlines() if line.startswith(f"{word} ")]


def extras() -> set[str]:
    pyproject = (REPOSITORY / "pyproject.toml").read_text()
    section = pyproject.split("[project.optional-dependencies]")[1].split("\n[")[0]
    return set(re.findall(r"^(\w+) = ", section, re.MULTILINE))


def test_there_is_one_file_per_machine() -> None:
    assert [file.name for file in FILES] == ["robot.Dockerfile", "server.Dockerfile", "train.Dockerfile"]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_what_is_copied_is_there(file: Path) -> None:
    for *sources, _ in instructions(file, "COPY"):
        missing = [source for source in sources if source not in LATER and not (REPOSITORY / source).exists()]
        assert not missing, f"{file.name} copies {missing}"


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_the_extras_exist(file: Path) -> None:
    named = re.findall(r"\.\[(\w+(?:,\w+)*)\]", file.read_text()) + [
        value for line in instructions(file, "ARG") for value in re.findall(r"EXTRAS=(\S+)", line[0])
    ]
    assert named
    assert {extra for group in named for extra in group.split(",")} <= extras()


def test_every_room_that_an_image_needs_is_copied() -> None:
    """The robot's image holds everything that the walls let a node import."""
    copied = {source for *sources, _ in instructions(DOCKER / "robot.Dockerfile", "COPY") for source in sources}
    assert {"ferry", "robots", "policy_server", "simulation", "evaluation", "launch", "ros2_ws"} <= copied
    assert "training" not in copied


def test_the_composition_names_files_and_launch_arguments_that_exist() -> None:
    services = yaml.safe_load((DOCKER / "compose.yaml").read_text())["services"]
    for service in services.values():
        assert (REPOSITORY / service["build"]["dockerfile"]).is_file()
    _, _, package, name, *words = services["twin"]["command"]
    assert package == "ferry_bringup"
    check_launch(name, words)


def test_the_robot_image_starts_a_launch_file_that_exists() -> None:
    (command,) = [" ".join(words) for words in instructions(DOCKER / "robot.Dockerfile", "CMD")]
    _, _, package, name, *words = re.findall(r'"([^"]+)"', command)
    assert package == "ferry_bringup"
    check_launch(name, words)


def check_launch(name: str, words: list[str]) -> None:
    file = REPOSITORY / "launch" / name
    assert parse_assignments(words, file, declared(file))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_an_image_runs_as_a_user_of_its_own(file: Path) -> None:
    assert instructions(file, "USER") == [["ferry"]]


def test_every_image_holds_what_the_doctor_imports() -> None:
    for file in FILES:
        copied = " ".join(source for *sources, _ in instructions(file, "COPY") for source in sources)
        assert all(room in copied for room in ("ferry", "robots", "simulation", "ros2_ws")), file.name


def test_the_scripts_know_every_image() -> None:
    for script in ("build", "try"):
        text = (DOCKER / script).read_text()
        assert all(file.name.removesuffix(".Dockerfile") in text for file in FILES)
