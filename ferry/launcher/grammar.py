"""The supported subset of ROS 2's XML launch format: every tag, its attributes and its children.

Each row is valid for the XML front-ends of Humble (with its updates since 2025: `on_exit`) and of Jazzy alike.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ferry.errors import LaunchError, Where
from ferry.launcher.template import Template

OUTPUTS = ("both", "log", "screen")
"""Destinations of a process's output; `log` shows only its standard error on the screen, as `ros2 launch` does."""

ON_EXIT = ("shutdown",)
"""What `on_exit` may say: the whole launch ends with this process, as it does under `ferry run` in any case."""

PARAM_TYPES = ("bool", "float", "int", "str")
"""Types that `<param type=...>` may name; without one, the value is read as YAML."""


@dataclass(frozen=True)
class Tag:
    """One row: a tag's required attributes, optional attributes and children."""

    required: frozenset[str]
    optional: frozenset[str]
    children: Mapping[str, Tag]


@dataclass(frozen=True)
class Element:
    """One tag of a launch file, checked against its row."""

    tag: str
    attributes: Mapping[str, Template]
    children: tuple[Element, ...]
    where: Where

    def named(self, tag: str) -> tuple[Element, ...]:
        """Returns the children of one tag."""
        return tuple(child for child in self.children if child.tag == tag)

    def literal(self, attribute: str) -> str:
        """Returns an attribute that must not contain a substitution; empty if it is absent.

        Raises:
            LaunchError: there is a substitution in it.
        """
        parts = self.attributes.get(attribute, ())
        if not all(isinstance(part, str) for part in parts):
            raise LaunchError(self.where, f"{attribute} of <{self.tag}> must be plain text", "a substitution")
        return "".join(str(part) for part in parts)


def _tag(required: str = "", optional: str = "", children: Mapping[str, Tag] | None = None) -> Tag:
    return Tag(frozenset(required.split()), frozenset(optional.split()), children or {})


_ACTIONS: dict[str, Tag] = {
    "arg": _tag("name", "default description", {"choice": _tag("value")}),
    "let": _tag("name value", "if unless"),
    "set_env": _tag("name value", "if unless"),
    "push_ros_namespace": _tag("namespace", "if unless"),
    "push-ros-namespace": _tag("namespace", "if unless"),
    "include": _tag("file", "if unless", {"arg": _tag("name value")}),
    "executable": _tag("cmd", "name output respawn respawn_delay on_exit if unless", {"env": _tag("name value")}),
    "node": _tag(
        "pkg exec",
        "name namespace args output respawn respawn_delay on_exit if unless",
        {"param": _tag("", "name value type from"), "remap": _tag("from to"), "env": _tag("name value")},
    ),
}
_ACTIONS["group"] = _tag("", "if unless", _ACTIONS)

GRAMMAR = _tag("", "", {"launch": _tag("", "", _ACTIONS)})
"""The whole subset; a file contains one `<launch>`."""
