"""What a launch file comes to, and every way in which it can come to nothing."""

from __future__ import annotations

import sys

import pytest
from ferry_workspace import Workspace

from ferry.errors import LaunchError, Where
from ferry.launcher.lookup import Lookup, console_scripts
from ferry.launcher.plan import plan

NODE = '<node pkg="ferry_try" exec="echo_node"'


def test_a_node_becomes_a_command_line(workspace: Workspace) -> None:
    (process,) = workspace.plan(
        f"""{NODE} name="robot" namespace="arm" args="--fast 'two words'" output="screen">
              <param from="$(find-pkg-share ferry_try)/config.yaml"/>
              <param name="rate" value="10" type="float"/>
              <remap from="image" to="camera/image"/>
              <env name="LEVEL" value="3"/>
            </node>"""
    )
    assert process.name == "robot"
    assert process.origin == "ferry_try/echo_node"
    assert process.command[:2] == (sys.executable, "-c")
    assert process.command[2].endswith("from ferry_try.echo_node import main; sys.exit(main())")
    assert process.arguments == (
        *("--fast", "two words", "--ros-args", "-r", "__node:=robot", "-r", "__ns:=/arm"),
        *("--params-file", str(workspace.root / "src/ferry_try/config.yaml")),
        *("-p", "rate:=10.0", "-r", "image:=camera/image"),
    )
    assert dict(process.environment) == {"LEVEL": "3"}
    assert (process.output, process.respawn, process.where.line) == ("screen", False, 2)


def test_a_node_without_a_name_keeps_its_own(workspace: Workspace) -> None:
    (process,) = workspace.plan(f"{NODE}><param name='x' value='1'/></node>")
    assert process.name == "echo_node"
    assert process.arguments == ("--ros-args", "-p", "x:=1")


@pytest.mark.parametrize(
    ("value", "kind", "expected"),
    [
        ("5", "", "5"),
        ("5", "str", '"5"'),
        ("5", "float", "5.0"),
        ("true", "bool", "true"),
        ("0", "bool", "false"),
        ("[1, 2]", "", "[1, 2]"),
        ("find a mug: now", "str", '"find a mug: now"'),
        ("", "str", '""'),
        ("", "", '""'),
        ('{"task": "object_nav"}', "str", r'"{\"task\": \"object_nav\"}"'),
    ],
)
def test_parameters_keep_the_type_they_were_declared_with(
    workspace: Workspace, value: str, kind: str, expected: str
) -> None:
    declared = f'type="{kind}"' if kind else ""
    (process,) = workspace.plan(f"<arg name='v'/>{NODE}><param name='x' value='$(var v)' {declared}/></node>", v=value)
    assert process.arguments[-1] == f"x:={expected}"


@pytest.mark.parametrize(
    ("pushed", "namespace", "expected"),
    [
        ("a", "b", "/a/b"),
        ("/a/", "b", "/a/b"),
        ("a", "/b", "/b"),
        ("a", "", "/a"),
        ("/", "b", "/b"),
    ],
)
def test_namespaces_are_joined(workspace: Workspace, pushed: str, namespace: str, expected: str) -> None:
    (process,) = workspace.plan(
        f"<group><push_ros_namespace namespace='{pushed}'/>{NODE} namespace='{namespace}'/></group>"
    )
    assert f"__ns:={expected}" in process.arguments


def test_a_group_keeps_its_namespace_and_variables_to_itself(workspace: Workspace) -> None:
    inner, outer = workspace.plan(
        f"""<let name="x" value="outer"/>
        <group>
          <push-ros-namespace namespace="a"/><let name="x" value="inner"/>{NODE} name="$(var x)"/>
        </group>
        {NODE} name="$(var x)"/>"""
    )
    assert inner.name == "inner"
    assert "__ns:=/a" in inner.arguments
    assert outer.name == "outer"
    assert not any("__ns" in word for word in outer.arguments)


def test_conditions(workspace: Workspace) -> None:
    body = "".join(
        f"{NODE} name='{word}_{value}' {word}='$(var on)' />".replace("$(var on)", value)
        for word in ("if", "unless")
        for value in ("true", "False", "1", "0")
    )
    assert [process.name for process in workspace.plan(body)] == ["if_true", "if_1", "unless_False", "unless_0"]


def test_an_included_file_gets_arguments_and_its_own_folder(workspace: Workspace) -> None:
    workspace.write(
        "sub/b.launch.xml",
        f"<arg name='who'/><arg name='how' default='well'/>{NODE} args='$(var who) $(var how) $(dirname)'/>",
    )
    (first, second) = workspace.plan(
        f"""<include file="$(dirname)/sub/b.launch.xml"><arg name="who" value="pat"/></include>
            {NODE} args="$(dirname)"/>""",
        how="badly",
    )
    assert first.arguments[:3] == ("pat", "badly", str(workspace.root / "sub"))
    assert second.arguments[0] == str(workspace.root)


def test_processes_of_one_name_are_distinguished(workspace: Workspace) -> None:
    assert [process.name for process in workspace.plan(f"{NODE}/>{NODE}/>{NODE}/>")] == [
        "echo_node",
        "echo_node-2",
        "echo_node-3",
    ]


def test_an_executable_is_found_on_the_path(workspace: Workspace) -> None:
    (process,) = workspace.plan(
        "<executable cmd='sleep $(var s)' name='nap' respawn='true' respawn_delay='0.5'/>", s="1 2"
    )
    assert process.command[0].endswith("/sleep")
    assert process.arguments == ("1 2",)
    assert (process.name, process.respawn, process.respawn_delay_s, process.output) == ("nap", True, 0.5, "log")


def test_what_colcon_built_comes_before_the_sources(workspace: Workspace) -> None:
    lookup = Lookup((workspace.colcon_prefix(),), workspace.root / "src")
    (process,) = plan(workspace.write("a.launch.xml", f"{NODE} args='$(find-pkg-share ferry_try)'/>"), {}, lookup)
    assert process.command[0] == str(workspace.root / "install/lib/ferry_try/echo_node")
    assert process.arguments[0] == str(workspace.root / "install/share/ferry_try")


def test_ferry_itself_is_always_found(workspace: Workspace) -> None:
    program = workspace.lookup.command("ferry", Where(workspace.root))
    assert program.words[-1].endswith("ferry")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("<arg name='x' description='how far'/>", "launch argument 'x' (how far) needs a value: got 'none'"),
        (
            "<arg name='x' default='b'><choice value='a'/><choice value='c'/></arg>",
            "launch argument 'x': got 'b'; available: a, c",
        ),
        ("<let name='a' value='$(var b)'/>", "no such launch argument or variable: got 'b'; available: none"),
        (f"{NODE} if='maybe'/>", "a condition must be true or false: got 'maybe'"),
        (
            "<node pkg='ferry_tri' exec='echo_node'/>",
            "no such ROS package: got 'ferry_tri'; available: ferry_try; did you",
        ),
        (
            "<node pkg='ferry_try' exec='ech_node'/>",
            "package ferry_try has no such executable: got 'ech_node'; available: echo_node",
        ),
        ("<executable cmd='ferry-no-such-program'/>", "no such program on the PATH: got 'ferry-no-such-program'"),
        ("<executable cmd=''/>", "cmd of <executable>: got 'nothing'"),
        (f"{NODE} output='paper'/>", "output of <node>: got 'paper'; available: both, log, screen"),
        (f"{NODE}><param from='none.yaml'/></node>", "no such parameter file: got 'none.yaml'"),
        (f"{NODE}><param name='x' value='ten' type='int'/></node>", "parameter 'x' is not of the type int: got 'ten'"),
        (
            f"{NODE}><param name='x' value='1' type='long'/></node>",
            "type of parameter 'x': got 'long'; available: bool, float",
        ),
        (f"{NODE}><param name='x' value='yes' type='bool'/></node>", "a condition must be true or false: got 'yes'"),
        (f"{NODE}><param name='x' value='[1'/></node>", "parameter 'x' is not of the type YAML: got '[1'"),
        ("<include file='$(dirname)/none.xml'/>", "none.xml: launch file cannot be read"),
        (f"{NODE} on_exit='restart'/>", "on_exit of <node>: got 'restart'"),
        (f"{NODE} respawn_delay='soon'/>", "respawn_delay is not of the type float: got 'soon'"),
    ],
)
def test_what_cannot_be_resolved_is_named_before_anything_starts(workspace: Workspace, body: str, message: str) -> None:
    with pytest.raises(LaunchError) as caught:
        workspace.plan(body)
    assert message in str(caught.value)
    assert str(workspace.root) in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("/stretch/robot_node:\n  ros__parameters: {x: 1}\n", "got ['/stretch/robot_node']; available: /**"),
        ("just words", "sections of the parameter file other.yaml: got 'just words'"),
        ("x: [1", "other.yaml is not YAML"),
    ],
)
def test_a_parameter_file_that_would_win_over_what_follows_it(workspace: Workspace, text: str, message: str) -> None:
    (workspace.root / "other.yaml").write_text(text)
    with pytest.raises(LaunchError) as caught:
        workspace.plan(f"{NODE}><param from='$(dirname)/other.yaml'/></node>")
    assert message in str(caught.value)


def test_console_scripts_of_a_package_without_setup_py(workspace: Workspace) -> None:
    assert console_scripts(workspace.root / "setup.py") == {}
