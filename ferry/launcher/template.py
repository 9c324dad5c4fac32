"""Text with substitutions, such as "$(dirname)/$(var robot).launch.xml": parsing and evaluation.

The quoting and escaping rules are those of the grammar of ROS 2's launch front-ends
(https://github.com/ros2/launch/blob/humble/launch/launch/share/launch/frontend/grammar.lark).
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ferry.errors import LaunchError, Where

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")


@dataclass(frozen=True)
class Call:
    """One substitution: `$(name argument argument)`."""

    name: str
    arguments: tuple[Template, ...]


Template = tuple["str | Call", ...]
"""Plain text and substitutions, in order."""


class Scope(Protocol):
    """Values available to a substitution."""

    @property
    def variables(self) -> Mapping[str, str]:
        """Launch arguments and variables set by `<let>`."""

    @property
    def environment(self) -> Mapping[str, str]:
        """Environment variables."""

    @property
    def directory(self) -> Path:
        """The folder of the launch file."""

    def share(self, package: str, where: Where) -> Path:
        """The share folder of a ROS package."""


def parse_template(source: str, where: Where) -> Template:
    """Reads text with substitutions.

    Raises:
        LaunchError: a substitution is unknown, misspelt, not closed, or has too few or too many arguments.
    """
    return _Reader(source, where).template(end=None)


def evaluate(template: Template, scope: Scope, where: Where) -> str:
    """Returns the text of an evaluated template.

    Raises:
        LaunchError: a variable, an environment variable or a package does not exist.
    """
    return "".join(part if isinstance(part, str) else _call(part, scope, where) for part in template)


def evaluate_words(template: Template, scope: Scope, where: Where) -> tuple[str, ...]:
    """Returns the words of a command line: literal text is split as by a shell, substituted text is not."""
    words: list[str] = []
    open_word = False
    for part in template:
        pieces = [_call(part, scope, where)] if isinstance(part, Call) else _shell_words(part, where)
        starts, ends = (False, False) if isinstance(part, Call) else (part[:1].isspace(), part[-1:].isspace())
        if open_word and pieces and not starts:
            words[-1] += pieces.pop(0)
        words += pieces
        open_word = not ends
    return tuple(words)


def _shell_words(text: str, where: Where) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError as error:
        raise LaunchError(where, f"command line has {str(error).lower()}", text) from error


def _call(call: Call, scope: Scope, where: Where) -> str:
    arguments = [evaluate(argument, scope, where) for argument in call.arguments]
    return SUBSTITUTIONS[call.name].run(scope, arguments, where)


def _var(scope: Scope, arguments: list[str], where: Where) -> str:
    name, *default = arguments
    if name in scope.variables:
        return scope.variables[name]
    if default:
        return default[0]
    raise LaunchError(where, "no such launch argument or variable", name, scope.variables)


def _env(scope: Scope, arguments: list[str], where: Where) -> str:
    name, *default = arguments
    if name in scope.environment:
        return scope.environment[name]
    if default:
        return default[0]
    raise LaunchError(where, "environment variable is not set and $(env ...) has no default", name)


@dataclass(frozen=True)
class Substitution:
    """A substitution `$(name ...)`: its number of arguments and its function."""

    min_arguments: int
    max_arguments: int
    run: Callable[[Scope, list[str], Where], str]


SUBSTITUTIONS: Mapping[str, Substitution] = {
    "var": Substitution(1, 2, _var),
    "env": Substitution(1, 2, _env),
    "dirname": Substitution(0, 0, lambda scope, _arguments, _where: str(scope.directory)),
    "find-pkg-share": Substitution(1, 1, lambda scope, arguments, where: str(scope.share(arguments[0], where))),
}


class _Reader:
    """Reads one template from left to right."""

    def __init__(self, source: str, where: Where) -> None:
        self.source, self.where, self.at = source, where, 0

    def template(self, end: str | None, stop: str = "") -> Template:
        """Reads up to the closing quote `end`, or up to one of the characters of `stop`, or to the end."""
        parts: list[str | Call] = []
        while self.at < len(self.source) and (letter := self.source[self.at]) not in (end or stop):
            if self.source.startswith("$(", self.at) and self.source[max(self.at - 1, 0)] != "\\":
                parts.append(self.call())
                continue
            self.at += 1
            if letter == "\\" and self.at < len(self.source):
                letter = self.source[self.at]
                self.at += 1
            if parts and isinstance(parts[-1], str):
                parts[-1] += letter
            else:
                parts.append(letter)
        return tuple(parts)

    def call(self) -> Call:
        self.at += 2
        name = _NAME.match(self.source, self.at)
        if name is None or name[0] not in SUBSTITUTIONS:
            got = name[0] if name else self.source[self.at :]
            raise LaunchError(self.where, "unknown substitution", got, SUBSTITUTIONS)
        self.at = name.end()
        arguments: list[Template] = []
        while self.peek() == " ":
            self.at += 1
            arguments.append(self.argument())
        if self.peek() != ")":
            raise LaunchError(self.where, f"$({name[0]} is not closed by a round bracket", self.source)
        self.at += 1
        allowed = SUBSTITUTIONS[name[0]]
        if not allowed.min_arguments <= len(arguments) <= allowed.max_arguments:
            least, most = allowed.min_arguments, allowed.max_arguments
            limits = f"{least} to {most}" if least != most else f"{most}"
            raise LaunchError(self.where, f"$({name[0]} ...) takes {limits} argument(s)", self.source)
        return Call(name[0], tuple(arguments))

    def argument(self) -> Template:
        quote = self.peek()
        if quote not in ("'", '"'):
            return self.template(end=None, stop=" )")
        self.at += 1
        inside = self.template(end=quote)
        if self.peek() != quote:
            raise LaunchError(self.where, f"a quoted argument is not closed by {quote}", self.source)
        self.at += 1
        return inside

    def peek(self) -> str:
        return self.source[self.at : self.at + 1]
