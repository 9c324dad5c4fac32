"""Reading launch files: every way to leave the subset is an error with file and line."""

from __future__ import annotations

from pathlib import Path

import pytest

from ferry.errors import LaunchError
from ferry.launcher.xml_file import read_launch_file


def read(tmp_path: Path, body: str) -> None:
    file = tmp_path / "a.launch.xml"
    file.write_text(f"<launch>\n{body}\n</launch>\n")
    read_launch_file(file)


def test_elements_keep_their_lines_and_order(tmp_path: Path) -> None:
    file = tmp_path / "a.launch.xml"
    file.write_text(
        '<launch>\n  <!-- note -->\n  <arg name="x"\n       default="1"/>\n  <let name="y" value="2"/>\n</launch>'
    )
    root = read_launch_file(file)
    assert [(child.tag, child.where.line) for child in root.children] == [("arg", 3), ("let", 5)]
    assert root.named("let")[0].literal("value") == "2"
    assert root.named("arg")[0].literal("description") == ""


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("<nod/>", "unknown tag here: got 'nod'; available: arg, executable, group, include, let, node,"),
        ("<param name='a' value='1'/>", "unknown tag here: got 'param'"),
        ("<let name='a' value='1'><choice value='1'/></let>", "unknown tag here: got 'choice'; available: none"),
        (
            "<let title='a' name='a' value='1'/>",
            "unknown attribute of <let>: got 'title'; available: if, name, unless, value",
        ),
        ("<node pkg='a' exec='b' machine='c'/>", "unknown attribute of <node>: got 'machine'"),
        ("<let name='a'/>", "<let> needs the attribute 'value': got ['name']"),
        ("<let name='a' value='1' if='1' unless='1'/>", "<let> has both 'if' and 'unless'"),
        ("<node pkg='a' exec='b'><param name='x'/></node>", "<param> takes from, or name and value"),
        ("<node pkg='a' exec='b'><param from='x' name='x'/></node>", "<param> takes from, or name and value"),
        ("hello", "text inside <launch>: got 'hello'"),
        ("<let name='a' value='$(sum 1 2)'/>", "unknown substitution: got 'sum'"),
        ("<let name='a' value='1'>", "not well-formed XML: got 'mismatched tag'"),
    ],
)
def test_what_lies_outside_of_the_subset_is_named(tmp_path: Path, body: str, message: str) -> None:
    with pytest.raises(LaunchError) as caught:
        read(tmp_path, body)
    assert caught.value.where.file == tmp_path / "a.launch.xml"
    assert caught.value.where.line in (2, 3)
    assert message in str(caught.value)


def test_the_outermost_tag_is_launch(tmp_path: Path) -> None:
    file = tmp_path / "a.launch.xml"
    file.write_text("<lunch/>")
    with pytest.raises(LaunchError, match="got 'lunch'; available: launch; did you mean 'launch'"):
        read_launch_file(file)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(LaunchError, match="launch file cannot be read: got 'No such file or directory'"):
        read_launch_file(tmp_path / "none.launch.xml")


def test_a_name_takes_no_substitution(tmp_path: Path) -> None:
    file = tmp_path / "a.launch.xml"
    file.write_text("<launch><arg name='$(dirname)'/></launch>")
    with pytest.raises(LaunchError, match="name of <arg> must be plain text"):
        read_launch_file(file).children[0].literal("name")
