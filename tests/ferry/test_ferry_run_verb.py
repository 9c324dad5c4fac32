"""`ferry run`: names, arguments, and what it prints instead of starting anything."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from ferry_workspace import Workspace

from ferry.errors import LaunchError, UsageError
from ferry.launcher.arguments import declared, describe, parse_assignments, written
from ferry.launcher.lookup import REPOSITORY, Lookup
from ferry.launcher.main import find_launch_file, main
from ferry.launcher.plan import defaults
from ferry.launcher.template import parse_template

ARGUMENTS = """
  <arg name="near" default="$(env HOME /)/x" description="how near"/>
  <group><arg name="far" description="how far"><choice value="a"/><choice value="b"/></arg></group>
  <include file="$(dirname)/inner.launch.xml"><arg name="set" value="1"/></include>
"""


def outer(workspace: Workspace) -> Path:
    workspace.write("inner.launch.xml", "<arg name='set'/><arg name='near' default='0'/><arg name='left' default=''/>")
    return workspace.write("outer.launch.xml", ARGUMENTS)


def test_a_file_declares_what_it_includes_declares(workspace: Workspace) -> None:
    found = declared(outer(workspace), workspace.lookup)
    assert list(found) == ["near", "far", "left"]
    assert (found["near"].default, found["near"].description) == ("$(env HOME /)/x", "how near")
    assert (found["far"].default, found["far"].choices) == (None, ("a", "b"))


def test_arguments_describe_themselves(workspace: Workspace) -> None:
    file = outer(workspace)
    text = describe(declared(file, workspace.lookup).values(), defaults(file, {"far": "a"}, workspace.lookup))
    assert f"  near  (default: {os.environ.get('HOME', '/')}/x)\n      how near" in text
    assert "  far  (default: a; one of a, b)\n      how far" in text
    without = describe(declared(file, workspace.lookup).values(), {})
    assert "  far  (needs a value; one of a, b)\n      how far" in without


def test_an_include_that_sets_an_argument_nobody_declares(workspace: Workspace) -> None:
    workspace.write("inner.launch.xml", "<arg name='speed' default='1'/>")
    file = workspace.write(
        "outer.launch.xml", "<include file='$(dirname)/inner.launch.xml'><arg name='sped' value='2'/></include>"
    )
    with pytest.raises(LaunchError, match=r"inner.launch.xml has no such launch argument: got 'sped'"):
        declared(file, workspace.lookup)


def test_assignments(workspace: Workspace) -> None:
    file = outer(workspace)
    available = declared(file, workspace.lookup)
    assert parse_assignments(["near:=1", "left:=a:=b c", "near:="], file, available) == {"near": "", "left": "a:=b c"}
    with pytest.raises(LaunchError, match="no such launch argument: got 'fra'"):
        parse_assignments(["fra:=1"], file, available)
    for word in ("near=1", ":=1", "near"):
        with pytest.raises(UsageError, match=f"got '{word}', expected name:=value"):
            parse_assignments([word], file, available)


def test_a_template_is_written_as_it_was() -> None:
    source = "$(env HOME /)/$(var $(dirname))"
    assert written(parse_template(source, next(iter(declared_here().values())).where)) == source


def declared_here() -> dict[str, object]:
    return dict(declared(REPOSITORY / "launch" / "stretch_re1.launch.xml"))


def test_a_launch_file_is_found_by_name_and_by_path(workspace: Workspace, tmp_path: Path) -> None:
    assert find_launch_file("stretch_twin", Lookup(())) == REPOSITORY / "launch" / "stretch_twin.launch.xml"
    built = tmp_path / "share" / "ferry_bringup" / "launch" / "stretch_twin.launch.xml"
    built.parent.mkdir(parents=True)
    built.touch()
    assert find_launch_file("stretch_twin", Lookup((tmp_path,))) == built
    file = outer(workspace)
    assert find_launch_file(str(file), Lookup(())) == file


def test_a_launch_file_that_is_not_there() -> None:
    with pytest.raises(UsageError, match="'strech_twin'"):
        find_launch_file("strech_twin", Lookup(()))
    with pytest.raises(UsageError, match=r"no such launch file: ./none.launch.xml"):
        find_launch_file("./none.launch.xml", Lookup(()))


def test_show_args_prints_and_starts_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["stretch_twin", "--show-args"]) == 0
    text = capsys.readouterr().out
    assert "  server_url  (default: http://127.0.0.1:8042)" in text
    assert "  mode  (default: full; one of shadow, slow, full)" in text  # of a twin
    assert "  robot  " not in text
    assert main(["stretch_re1", "server_port:=9", "--show-args"]) == 0
    text = capsys.readouterr().out
    assert "  server_url  (default: http://127.0.0.1:9)" in text
    assert "  mode  (default: shadow; one of shadow, slow, full)" in text
    assert "$(" not in text


def test_dry_run_prints_commands_a_shell_would_take(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    file = workspace.write(
        "a.launch.xml", "<arg name='x'/><executable cmd='echo $(var x)'><env name='A' value='b c'/></executable>"
    )
    assert main([str(file), "x:=it's", "--dry-run"]) == 0
    name, command = capsys.readouterr().out.splitlines()
    assert name == f"[echo] {file}:2"
    assert command.startswith("    A='b c' /")
    assert command.endswith("""/echo 'it'"'"'s'""")


def test_options_may_stand_anywhere(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    file = workspace.write("a.launch.xml", "<arg name='x'/><executable cmd='echo $(var x)'/>")
    assert main(["--dry-run", str(file), "x:=1"]) == 0
    assert main([str(file), "--dry-run", "x:=1"]) == 0
    first, second = capsys.readouterr().out.splitlines()[1::2]
    assert first == second


def test_a_launch_runs(workspace: Workspace, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = workspace.write(
        "a.launch.xml",
        f"<arg name='x'/><executable cmd='{sys.executable} -c print($(var x)*2)' name='twice' output='screen'/>",
    )
    assert main([str(file), "x:=21", "--log-dir", str(tmp_path / "logs")]) == 0
    assert "[twice] 42" in capfd.readouterr().out
    assert (tmp_path / "logs" / "twice.log").read_text() == "42\n"
