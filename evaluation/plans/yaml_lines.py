"""YAML with line numbers, for error messages."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from evaluation.errors import PlanError
from robots.structure import nearest

MAX_VALUES, MAX_DEPTH = 100_000, 64
_OPENS = (
    yaml.BlockMappingStartToken,
    yaml.BlockSequenceStartToken,
    yaml.FlowMappingStartToken,
    yaml.FlowSequenceStartToken,
)
_CLOSES = (yaml.BlockEndToken, yaml.FlowMappingEndToken, yaml.FlowSequenceEndToken)


class LinedDict(dict[str, Any]):
    """A mapping with the line of each key, counted from 1."""

    lines: dict[str, int]


class LinedList(list[Any]):
    """A list with the line of each entry, counted from 1."""

    lines: list[int]


def read_yaml(path: Path) -> object:
    """Reads a file as plain values, mappings and lists with line numbers; PlanError if it cannot be read."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        siblings = [file.name for file in path.parent.glob("*.yaml")] if path.parent.is_dir() else []
        raise PlanError(str(path), _reason(error), "a YAML file", suggestion=nearest(path.name, siblings)) from error
    try:
        _expect_flat(text, path)
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        return None if node is None else _value(loader, node, path, [0])
    except RecursionError as error:
        raise PlanError(path.name, "values that contain themselves", "a plan") from error
    except ValueError as error:  # an invalid date, a number of thousands of digits
        raise PlanError(path.name, f"'{error}'", "YAML") from error
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else None
        raise PlanError(f"{path.name}:{line}", error.problem, "YAML", line=line) from error


def _expect_flat(text: str, path: Path) -> None:
    """Raises PlanError for deep nesting, for which the parsing time grows with the square of the depth."""
    depth = 0
    for token in yaml.scan(text, Loader=yaml.SafeLoader):
        depth += isinstance(token, _OPENS) - isinstance(token, _CLOSES)
        if depth > MAX_DEPTH:
            raise PlanError(
                path.name, f"values nested deeper than {MAX_DEPTH}", "a plan", line=token.start_mark.line + 1
            )


def _value(loader: yaml.SafeLoader, node: yaml.Node, path: Path, made: list[int]) -> Any:
    """Converts a node to a value; `made` counts values, because aliases of aliases grow exponentially."""
    made[0] += 1
    if made[0] > MAX_VALUES:
        raise PlanError(path.name, f"more than {MAX_VALUES} values (aliases of aliases?)", "a plan")
    if isinstance(node, yaml.MappingNode):
        mapping, mapping.lines = LinedDict(), {}
        for key, value in node.value:
            name, line = str(loader.construct_object(key)), key.start_mark.line + 1
            if name in mapping:
                expected = f"each key once (already in line {mapping.lines[name]})"
                raise PlanError(f"{path.name}:{line}: {name}", "it twice", expected, line=line)
            mapping[name], mapping.lines[name] = _value(loader, value, path, made), line
        return mapping
    if isinstance(node, yaml.SequenceNode):
        entries = LinedList(_value(loader, entry, path, made) for entry in node.value)
        entries.lines = [entry.start_mark.line + 1 for entry in node.value]
        return entries
    return loader.construct_object(node)


def _reason(error: Exception) -> str:
    return "no such file" if isinstance(error, FileNotFoundError) else f"{type(error).__name__}: {error}"
