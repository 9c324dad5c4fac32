"""The launch files of this repository: what each comes to, and that everything they name exists.

`python tests/ferry/test_ferry_launch_files.py` writes the golden files anew; read the difference before committing it.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest
import yaml

from ferry.launcher.arguments import declared
from ferry.launcher.grammar import Element
from ferry.launcher.lookup import REPOSITORY, Lookup, console_scripts
from ferry.launcher.plan import plan
from ferry.launcher.xml_file import read_launch_file
from robots.fake import FakeOptions
from simulation.twin import TwinOptions

LAUNCH = REPOSITORY / "launch"
FILES = sorted(LAUNCH.glob("*.launch.xml"))
GOLDENS = Path(__file__).parent / "goldens"
LOOKUP = Lookup(())

CASES: dict[str, tuple[str, dict[str, str]]] = {
    "policy_server": ("policy_server", {}),
    "policy_server_open": ("policy_server", {"host": "0.0.0.0", "port": "80", "bundle": "a b.zip"}),
    "stretch_twin": ("stretch_twin", {}),
    "stretch_twin_remote": ("stretch_twin", {"serve": "false", "server_url": "http://gpu-box:8765"}),
    "stretch_twin_random": ("stretch_twin", {"sampling": "uniform", "seed": "7", "server_port": "9000"}),
    "stretch_re1": ("stretch_re1", {}),
    "stretch_re1_once": (
        "stretch_re1",
        {"run_once": "True", "instruction": "find a mug", "namespace": "/lab/stretch", "control_period_s": "1"},
    ),
    "fake": (
        "stretch",
        {"robot": "fake", "serve": "0", "episode": '{"task": "object_nav"}', "max_steps": "20", "camera_height": "168"},
    ),
}


def resolved(case: str) -> str:
    """Returns a case's processes, one word of a command line per line, without this machine's paths."""
    name, arguments = CASES[case]
    lines = []
    for process in plan(LAUNCH / f"{name}.launch.xml", arguments, LOOKUP):
        lines += [f"[{process.name}] {process.origin}, output {process.output}", *(f"  {w}" for w in process.arguments)]
    return "\n".join(lines).replace(str(REPOSITORY), "<repository>") + "\n"


def walk(element: Element) -> Iterator[Element]:
    yield element
    for child in element.children:
        yield from walk(child)


def elements(tag: str) -> list[Element]:
    return [element for file in FILES for element in walk(read_launch_file(file)) if element.tag == tag]


def named(element: Element) -> str:
    return f"{element.where.file.name}:{element.where.line}"


@pytest.mark.parametrize("case", CASES)
def test_a_launch_comes_to_its_golden_plan(case: str) -> None:
    assert resolved(case) == (GOLDENS / f"{case}.txt").read_text(encoding="utf-8")


def test_every_launch_file_has_a_case() -> None:
    assert {f"{name}.launch.xml" for name, _ in CASES.values()} == {file.name for file in FILES}


def test_the_twin_and_the_real_one_are_one_graph() -> None:
    """What differs is the body's name, and nothing else."""
    assert resolved("stretch_twin").replace("stretch_re1_twin", "stretch_re1") == resolved("stretch_re1")


@pytest.mark.parametrize("element", elements("node"), ids=named)
def test_every_node_is_an_executable_of_its_package(element: Element) -> None:
    package, executable = element.literal("pkg"), element.literal("exec")
    folder = REPOSITORY / "ros2_ws" / "src" / package
    scripts = console_scripts(folder / "setup.py")
    assert executable in scripts
    module, _, function = scripts[executable].partition(":")
    source = (folder / f"{module.replace('.', '/')}.py").read_text(encoding="utf-8")
    assert f"def {function}(" in source
    assert 'if __name__ == "__main__":' in source, "the launcher starts it with `python -m`"


@pytest.mark.parametrize("element", elements("node"), ids=named)
def test_every_parameter_is_declared_by_the_configuration_of_its_node(element: Element) -> None:
    package, executable = element.literal("pkg"), element.literal("exec")
    config = REPOSITORY / "ros2_ws" / "src" / package / "config" / f"{executable}.yaml"
    sections = yaml.safe_load(config.read_text(encoding="utf-8"))
    known = {name: value for section in sections.values() for name, value in section["ros__parameters"].items()}
    for prefix, options in (("twin.", TwinOptions), ("fake.", FakeOptions)):  # a body's stand beside the node's
        known |= {prefix + one.name: one.default for one in fields(options) if executable == "robot_node"}
    for param in element.named("param"):
        if "name" in param.attributes:
            assert type(known[param.literal("name")]).__name__ == param.literal("type"), param.literal("name")


@pytest.mark.parametrize("element", elements("arg"), ids=named)
def test_every_argument_is_described(element: Element) -> None:
    if "value" not in element.attributes:  # the <arg> of an <include> has a value and no description
        assert re.fullmatch(r"\S.{12,110}[^.]", element.literal("description")), element.literal("name")


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_every_argument_is_used(file: Path) -> None:
    source = file.read_text(encoding="utf-8")
    own = [element.literal("name") for element in read_launch_file(file).named("arg")]
    assert [name for name in own if f"$(var {name})" not in source] == []


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_every_argument_but_the_body_has_a_default(file: Path) -> None:
    without = [name for name, argument in declared(file, LOOKUP).items() if argument.default is None]
    assert without == (["robot"] if file.name == "stretch.launch.xml" else [])


def test_the_bringup_package_is_these_files() -> None:
    link = REPOSITORY / "ros2_ws" / "src" / "ferry_bringup" / "launch"
    assert link.is_symlink()
    assert link.resolve() == LAUNCH


if __name__ == "__main__":
    GOLDENS.mkdir(exist_ok=True)
    for one in CASES:
        (GOLDENS / f"{one}.txt").write_text(resolved(one), encoding="utf-8")
    sys.exit()
