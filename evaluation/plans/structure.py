"""Builds dataclasses from plain data (YAML, JSON), with every key and type checked: the dataclass is the schema."""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass, replace
from enum import Enum
from typing import Any, Literal, Union, get_args, get_origin

from evaluation.errors import FormatError, nearest
from evaluation.plans.yaml_lines import LinedDict, LinedList

MAX_INT = 2**63 - 1


@dataclass(frozen=True)
class Place:
    """Position of a value in a file, for error messages.

    Attributes:
        file: name of the file.
        path: path of the field, e.g. "policies[0].sampling".
        line: line number from 1; None if unknown.
        error: class of the error that `wrong` makes.
    """

    file: str
    path: str = ""
    line: int | None = None
    error: type[FormatError] = FormatError

    def key(self, container: object, name: str) -> Place:
        """Returns the position of the value of `name` in a mapping."""
        line = container.lines.get(name, self.line) if isinstance(container, LinedDict) else self.line
        return replace(self, path=f"{self.path}.{name}" if self.path else name, line=line)

    def item(self, container: object, index: int) -> Place:
        """Returns the position of an entry of a list."""
        line = container.lines[index] if isinstance(container, LinedList) else self.line
        return replace(self, path=f"{self.path}[{index}]", line=line)

    def wrong(self, got: object, expected: object, suggestion: str = "") -> FormatError:
        """Returns the error for a wrong value at this position."""
        where = self.file if self.line is None else f"{self.file}:{self.line}"
        where = f"{where}: {self.path}" if self.path else where
        return self.error(where, got, expected, line=self.line, suggestion=suggestion)


def build(kind: Any, data: object, place: Place) -> Any:
    """Converts `data` to `kind` (a dataclass, enum, Literal, tuple, Mapping or plain type) or raises `place.wrong`."""
    origin, arguments = get_origin(kind), get_args(kind)
    if kind is Any:
        return data
    if is_dataclass(kind) and isinstance(kind, type):
        return _build_dataclass(kind, data, place)
    if origin in (Union, types.UnionType):
        return (
            None
            if data is None
            else build(next(option for option in arguments if option is not type(None)), data, place)
        )
    if origin is tuple:
        return _build_tuple(arguments, data, place)
    if origin is not None and issubclass(origin if isinstance(origin, type) else object, Mapping):
        return _build_mapping(arguments[1], data, place)
    if origin is Literal:
        return _choose(data, arguments, place)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return kind(_choose(data, tuple(member.value for member in kind), place))
    return _build_plain(kind, data, place)


def _build_dataclass(kind: Any, data: object, place: Place) -> Any:
    known = {field.name: field for field in fields(kind) if field.init}
    if not isinstance(data, Mapping):
        raise place.wrong(_show(data), f"keys {', '.join(known)}")
    for name in data:
        if name not in known:
            expected = f"one of {', '.join(known)}"
            raise place.key(data, str(name)).wrong("an unknown key", expected, nearest(str(name), known))
    for name, field in known.items():
        if name not in data and field.default is MISSING and field.default_factory is MISSING:
            raise place.wrong(f"no '{name}'", f"'{name}' among the keys")
    hints = typing.get_type_hints(kind)
    return kind(**{name: build(hints[name], value, place.key(data, name)) for name, value in data.items()})


def _build_tuple(arguments: tuple[Any, ...], data: object, place: Place) -> tuple[Any, ...]:
    if not isinstance(data, (list, tuple)):
        raise place.wrong(_show(data), "a list")
    if arguments[-1] is Ellipsis:
        arguments = (arguments[0],) * len(data)
    if len(arguments) != len(data):
        raise place.wrong(f"{len(data)} entries", f"{len(arguments)} entries")
    return tuple(build(kind, value, place.item(data, i)) for i, (kind, value) in enumerate(zip(arguments, data)))


def _build_mapping(kind: Any, data: object, place: Place) -> dict[str, Any]:
    if not isinstance(data, Mapping):
        raise place.wrong(_show(data), "keys and values")
    return {str(name): build(kind, value, place.key(data, str(name))) for name, value in data.items()}


def _choose(data: object, choices: tuple[Any, ...], place: Place) -> Any:
    if data not in choices:
        expected = f"one of {', '.join(map(str, choices))}"
        raise place.wrong(_show(data), expected, nearest(str(data), map(str, choices)))
    return data


def _build_plain(kind: type, data: object, place: Place) -> Any:
    if type(data) is int and not -MAX_INT <= data <= MAX_INT:
        raise place.wrong("a whole number of more than 64 bits", "a 64-bit integer")
    if kind is float and type(data) is int:
        return float(data)
    if type(data) is not kind:  # not isinstance: True is an int to Python, to nobody else
        names = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}
        raise place.wrong(_show(data), names.get(kind, kind.__name__))
    return data


def _show(data: object) -> str:
    if isinstance(data, Mapping):
        return "keys and values"
    return "nothing" if data is None else "a list" if isinstance(data, (list, tuple)) else repr(data)
