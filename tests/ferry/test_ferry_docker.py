"""The container files, held against the repository. docker/build and docker/try run them; no engine is needed here."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from ferry.launcher.arguments import declared, parse_assignments
from ferry.launcher.lookup import REPOSITORY

DOCKER = REPOSITORY / "docker"
FILES = sorted(DOCKER.glob("*.Dockerfile"))
SERVICE_KEYS = {  # of the Compose Specification, those that this project has a use for
    *("build", "cap_add", "cap_drop", "command", "depends_on", "devices", "environment", "healthcheck", "image", "ipc"),
    *("network_mode", "ports", "read_only", "restart", "security_opt", "shm_size", "tmpfs", "user", "volumes"),
}


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
        missing = [source for source in sources if not (REPOSITORY / source).exists()]
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


def composition() -> dict[str, Any]:
    """The compose file; YAML's `<<` is carried out, so each service has what the common part says."""
    content: dict[str, Any] = yaml.safe_load((DOCKER / "compose.yaml").read_text())
    return content


@pytest.fixture(params=sorted(composition()["services"]))
def service(request: pytest.FixtureRequest) -> dict[str, Any]:
    found: dict[str, Any] = composition()["services"][request.param]
    return found


def test_the_composition_has_only_keys_that_compose_knows() -> None:
    """A wrong key is an error to Docker, and nothing at all to podman-compose."""
    content = composition()
    assert {key for key in content if not key.startswith("x-")} <= {"services", "volumes"}
    for name, found in content["services"].items():
        assert set(found) <= SERVICE_KEYS, name
        assert set(found["build"]) <= {"context", "dockerfile", "args"}, name


def test_a_service_is_built_from_a_file_of_its_context(service: dict[str, Any]) -> None:
    build = service["build"]
    context = (DOCKER / build["context"]).resolve()
    assert context == REPOSITORY  # what COPY and .dockerignore are relative to
    file = context / build["dockerfile"]
    declared_arguments = {line[0].split("=")[0] for line in instructions(file, "ARG")}
    assert set(build.get("args", {})) <= declared_arguments
    assert set(build.get("args", {}).get("EXTRAS", "").split(",")) - {""} <= extras()


def test_a_service_runs_closed_and_as_its_images_user(service: dict[str, Any]) -> None:
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert [mount.split(":")[0] for mount in service["tmpfs"]] == ["/tmp"]
    assert "user" not in service  # the Dockerfile's


def test_a_service_waits_only_for_what_has_a_health_check(service: dict[str, Any]) -> None:
    for name, wait in service.get("depends_on", {}).items():
        assert wait == {"condition": "service_healthy"}
        build = composition()["services"][name]["build"]
        text = (REPOSITORY / build["dockerfile"]).read_text().replace("\\\n", " ")
        assert re.search(r"^HEALTHCHECK .*CMD ", text, re.MULTILINE), name


def test_a_service_mounts_declared_volumes_on_folders_that_its_user_owns(service: dict[str, Any]) -> None:
    """A named volume takes its owner from the image's folder: root's could not be written."""
    file = REPOSITORY / service["build"]["dockerfile"]
    for mount in service.get("volumes", []):
        volume, folder = mount.split(":")
        assert volume in composition()["volumes"]
        made = Path(folder).relative_to("/ferry")
        assert f"mkdir {made} && chown ferry {made}" in file.read_text()


def test_the_twins_container_can_keep_its_records() -> None:
    """The launch file writes them below the folder that it is started from, which the volume has to hold."""
    twin = composition()["services"]["twin"]
    launch = REPOSITORY / "launch" / twin["command"][3]
    folder = Path("/ferry") / str(declared(launch)["record"].default)
    assert any(folder.is_relative_to(mount.split(":")[1]) for mount in twin["volumes"])


def test_the_composition_starts_a_launch_file_and_finds_the_server() -> None:
    services = composition()["services"]
    _, _, package, name, *words = services["twin"]["command"]
    assert package == "ferry_bringup"
    check_launch(name, words)
    server = dict(word.split(":=") for word in words)["server_url"]
    host, port = server.removeprefix("http://").split(":")
    assert host in services["twin"]["depends_on"]
    assert instructions(REPOSITORY / services[host]["build"]["dockerfile"], "EXPOSE") == [[port]]


def test_an_image_is_built_here_as_the_composition_has_it(service: dict[str, Any]) -> None:
    """docker/try runs the images of docker/build under the settings of the composition."""
    text = (DOCKER / "build").read_text()
    assert service["image"].removeprefix("ferry-") in re.findall(r"\[(\w+)\]", text)
    extras_of_service = service["build"].get("args", {}).get("EXTRAS")
    assert extras_of_service is None or f"EXTRAS={extras_of_service}" in text


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
