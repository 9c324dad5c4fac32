"""Options of a robot driver, from `name=value` words or from the parameter file that a launch takes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import yaml

from ferry.errors import UsageError, nearest

_TRUTH = {"true": True, "1": True, "false": False, "0": False}


def build(kind: type[Any], values: Mapping[str, object]) -> Any:
    """Returns the options dataclass `kind` with `values`, strings parsed as the types of its fields.

    Raises:
        UsageError: there is no such option, or a value is not of its type.
    """
    defaults = {field.name: field.default for field in fields(kind)}
    for name in values:
        if name not in defaults:
            known = ", ".join(sorted(defaults))
            raise UsageError(f"option: got {name!r}; available: {known}{nearest(name, defaults)}")
    return kind(**{name: _typed(name, value, defaults[name]) for name, value in values.items()})


def parse(words: Iterable[str]) -> dict[str, str]:
    """Reads `name=value` words.

    Raises:
        UsageError: a word is not of that form.
    """
    values = {}
    for word in words:
        name, mark, value = word.partition("=")
        if not mark or not name:
            raise UsageError(f"option: got {word!r}, expected name=value")
        values[name] = value
    return values


def from_parameters(file: Path, prefix: str) -> dict[str, object]:
    """Returns the parameters of a ROS parameter file that begin with `prefix`, without the prefix.

    Raises:
        UsageError: not a parameter file, or one with a section other than `/**`.
    """
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
        parameters = _flat(content["/**"]["ros__parameters"])
    except (OSError, yaml.YAMLError, LookupError, TypeError) as error:
        raise UsageError(f"{file}: expected a parameter file with `/**: ros__parameters:`; {error!r}") from error
    return {name[len(prefix) :]: value for name, value in parameters.items() if name.startswith(prefix)}


def _flat(tree: Mapping[str, Any]) -> dict[str, object]:
    """Returns `{"a": {"b": 1}}` as `{"a.b": 1}`."""
    found: dict[str, object] = {}
    for name, value in tree.items():
        if isinstance(value, dict):
            found |= {f"{name}.{key}": inner for key, inner in _flat(value).items()}
        else:
            found[name] = value
    return found


def _typed(name: str, value: object, default: object) -> object:
    """Converts a value to the type of its default; a field whose default is None takes a number."""
    kinds: dict[type, Callable[[str], object]] = {bool: lambda text: _TRUTH[text.lower()], int: int, str: str}
    try:
        return kinds.get(type(default), float)(str(value))
    except (ValueError, KeyError) as error:
        raise UsageError(f"option {name}: got {value!r}, expected a value like {default!r}") from error
