"""YAML with line numbers, for error messages."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from robots.structure import FieldError, nearest

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


def read_yaml(path: Path, error: FieldError, what: str) -> object:
    """Reads a file as plain values, mappings and lists with line numbers.

    Raises what `error` makes if it cannot be read; `what` names in its message what was expected, e.g. "a plan".
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as why:
        siblings = [file.name for file in path.parent.glob("*.yaml")] if path.parent.is_dir() else []
        raise error(str(path), _reason(why), "a YAML file", suggestion=nearest(path.name, siblings)) from why
    reader = _Reader(path.name, error, what)
    try:
        reader.expect_flat(text)
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        return None if node is None else reader.value(loader, node)
    except RecursionError as why:
        raise error(path.name, "values that contain themselves", what) from why
    except ValueError as why:  # an invalid date, a number of thousands of digits
        raise error(path.name, f"'{why}'", "YAML") from why
    except yaml.MarkedYAMLError as why:
        line = why.problem_mark.line + 1 if why.problem_mark else None
        raise error(f"{path.name}:{line}", why.problem, "YAML", line=line) from why


class _Reader:
    """Reads one file, and counts its values, because aliases of aliases grow exponentially."""

    def __init__(self, file: str, error: FieldError, what: str) -> None:
        self._file, self._error, self._what, self._count = file, error, what, 0

    def expect_flat(self, text: str) -> None:
        """Raises the error for deep nesting, for which the parsing time grows with the square of the depth."""
        depth = 0
        for token in yaml.scan(text, Loader=yaml.SafeLoader):
            depth += isinstance(token, _OPENS) - isinstance(token, _CLOSES)
            if depth > MAX_DEPTH:
                line = token.start_mark.line + 1
                raise self._error(self._file, f"values nested deeper than {MAX_DEPTH}", self._what, line=line)

    def value(self, loader: yaml.SafeLoader, node: yaml.Node) -> Any:
        """Converts a node to a value."""
        self._count += 1
        if self._count > MAX_VALUES:
            raise self._error(self._file, f"more than {MAX_VALUES} values (aliases of aliases?)", self._what)
        if isinstance(node, yaml.MappingNode):
            return self._mapping(loader, node)
        if isinstance(node, yaml.SequenceNode):
            entries = LinedList(self.value(loader, entry) for entry in node.value)
            entries.lines = [entry.start_mark.line + 1 for entry in node.value]
            return entries
        return loader.construct_object(node)

    def _mapping(self, loader: yaml.SafeLoader, node: yaml.MappingNode) -> LinedDict:
        mapping = LinedDict()
        mapping.lines = {}
        for key, value in node.value:
            name, line = str(loader.construct_object(key)), key.start_mark.line + 1
            if name in mapping:
                expected = f"each key once (already in line {mapping.lines[name]})"
                raise self._error(f"{self._file}:{line}: {name}", "it twice", expected, line=line)
            mapping[name], mapping.lines[name] = self.value(loader, value), line
        return mapping


def _reason(error: Exception) -> str:
    return "no such file" if isinstance(error, FileNotFoundError) else f"{type(error).__name__}: {error}"
