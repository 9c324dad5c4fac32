"""YAML that remembers its lines, so that a message can say where a mistake is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from evaluation.errors import PlanError, nearest

MOST_VALUES = 100_000


class LinedDict(dict[str, Any]):
    """A mapping with the line of each key, counted from 1."""

    lines: dict[str, int]


class LinedList(list[Any]):
    """A list with the line of each entry, counted from 1."""

    lines: list[int]


def read_yaml(path: Path) -> object:
    """The file as plain values, mappings and lists with their lines; PlanError when it cannot be read."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        siblings = [one.name for one in path.parent.glob("*.yaml")] if path.parent.is_dir() else []
        raise PlanError(str(path), _reason(error), "a YAML file", suggestion=nearest(path.name, siblings)) from error
    try:
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        return None if node is None else _value(loader, node, path, [0])
    except RecursionError as error:
        raise PlanError(path.name, "values nested too deep, or in themselves", "a plan") from error
    except ValueError as error:  # a date that is none, a number of thousands of digits
        raise PlanError(path.name, f"'{error}'", "YAML") from error
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else None
        raise PlanError(f"{path.name}:{line}", error.problem, "YAML", line=line) from error


def _value(loader: yaml.SafeLoader, node: yaml.Node, path: Path, made: list[int]) -> Any:
    """A node as a value; `made` counts them, since aliases of aliases grow without end."""
    made[0] += 1
    if made[0] > MOST_VALUES:
        raise PlanError(path.name, f"more than {MOST_VALUES} values (aliases of aliases?)", "a plan")
    if isinstance(node, yaml.MappingNode):
        mapping, mapping.lines = LinedDict(), {}
        for key, value in node.value:
            name, line = str(loader.construct_object(key)), key.start_mark.line + 1
            if name in mapping:
                expected = f"each key once (it stands in line {mapping.lines[name]} already)"
                raise PlanError(f"{path.name}:{line}: {name}", "it twice", expected, line=line)
            mapping[name], mapping.lines[name] = _value(loader, value, path, made), line
        return mapping
    if isinstance(node, yaml.SequenceNode):
        entries = LinedList(_value(loader, one, path, made) for one in node.value)
        entries.lines = [one.start_mark.line + 1 for one in node.value]
        return entries
    return loader.construct_object(node)


def _reason(error: Exception) -> str:
    return "no such file" if isinstance(error, FileNotFoundError) else f"{type(error).__name__}: {error}"
