"""The arguments of launch files: their declarations, descriptions and values."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from ferry.errors import LaunchError, UsageError, Where
from ferry.launcher.grammar import Element
from ferry.launcher.lookup import Lookup
from ferry.launcher.template import Call, Template, evaluate
from ferry.launcher.xml_file import read_launch_file


@dataclass(frozen=True)
class Argument:
    """One `<arg>` of a file or of a file it includes."""

    name: str
    description: str
    default: str | None
    """As written, with substitutions; None if a value is required."""
    choices: tuple[str, ...]
    where: Where


@dataclass(frozen=True)
class _StaticScope:
    """Scope of a file before any argument has a value."""

    directory: Path
    lookup: Lookup

    @property
    def variables(self) -> Mapping[str, str]:
        return {}

    @property
    def environment(self) -> Mapping[str, str]:
        return os.environ

    def share(self, package: str, where: Where) -> Path:
        return self.lookup.share(package, where)


def declared(file: Path, lookup: Lookup | None = None) -> dict[str, Argument]:
    """Returns every argument that a launch file and the files it includes declare, in file order.

    An argument that an `<include>` sets is not listed. The name of an included file must not contain `$(var ...)`.

    Raises:
        LaunchError: a file cannot be read, or an `<include>` sets an argument that its file does not declare.
    """
    lookup = lookup or Lookup.from_environment()
    return _declared(read_launch_file(file), _StaticScope(file.resolve().parent, lookup))


def _declared(parent: Element, scope: _StaticScope) -> dict[str, Argument]:
    found: dict[str, Argument] = {}
    for element in parent.children:
        if element.tag == "arg":
            found.setdefault(element.literal("name"), _argument(element))
        elif element.tag in ("group", "include"):
            inner = _declared(element, scope) if element.tag == "group" else _included(element, scope)
            found.update((name, argument) for name, argument in inner.items() if name not in found)
    return found


def _included(element: Element, scope: _StaticScope) -> dict[str, Argument]:
    file = Path(evaluate(element.attributes["file"], scope, element.where))
    inner = _declared(read_launch_file(file), _StaticScope(file.resolve().parent, scope.lookup))
    for argument in element.named("arg"):
        name = argument.literal("name")
        if name not in inner:
            raise LaunchError(argument.where, f"{file.name} has no such launch argument", name, inner)
        del inner[name]
    return inner


def _argument(element: Element) -> Argument:
    default = element.attributes.get("default")
    return Argument(
        name=element.literal("name"),
        description=element.literal("description"),
        default=None if default is None else written(default),
        choices=tuple(choice.literal("value") for choice in element.named("choice")),
        where=element.where,
    )


def written(template: Template) -> str:
    """Returns a template as it is written in a file."""

    def text(part: str | Call) -> str:
        if isinstance(part, str):
            return part
        return f"$({' '.join([part.name, *(written(argument) or chr(39) * 2 for argument in part.arguments)])})"

    return "".join(map(text, template))


def parse_assignments(words: Iterable[str], file: Path, available: Mapping[str, Argument]) -> dict[str, str]:
    """Reads `name:=value` words as `ros2 launch` does; if a name is repeated, the last one counts.

    Raises:
        UsageError: a word is not of that form.
        LaunchError: the launch file has no such argument.
    """
    values: dict[str, str] = {}
    for word in words:
        name, mark, value = word.partition(":=")
        if not mark or not name:
            raise UsageError(f"launch argument: got {word!r}, expected name:=value")
        if name not in available:
            raise LaunchError(Where(file), "no such launch argument", name, available)
        values[name] = value
    return values


def describe(arguments: Iterable[Argument], values: Mapping[str, str]) -> str:
    """Returns the arguments as text, one paragraph each, with the values that they have; without one, as written."""
    lines = []
    for argument in arguments:
        value = values.get(argument.name, argument.default)
        default = "needs a value" if value is None else f"default: {value}" if value else "default: empty"
        choices = f"; one of {', '.join(argument.choices)}" if argument.choices else ""
        lines += [f"  {argument.name}  ({default}{choices})", f"      {argument.description}"]
    return "\n".join(lines)
