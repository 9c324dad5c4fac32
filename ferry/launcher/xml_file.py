"""Reads a launch file: parses XML to elements, checked against the grammar, each with its line."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from xml.parsers import expat

from ferry.errors import LaunchError, Where
from ferry.launcher.grammar import GRAMMAR, Element, Tag
from ferry.launcher.template import parse_template


def read_launch_file(path: Path) -> Element:
    """Reads the `<launch>` element of a file.

    Raises:
        LaunchError: the file cannot be read, is not XML, or is outside the supported subset.
    """
    try:
        source = path.read_bytes()
    except OSError as error:
        raise LaunchError(Where(path), "launch file cannot be read", error.strerror) from error
    roots = _Handler(path).parse(source)
    return _element(roots[0], GRAMMAR)


@dataclass
class _Raw:
    """A tag as written."""

    tag: str
    attributes: dict[str, str]
    where: Where
    children: list[_Raw] = field(default_factory=list)


class _Handler:
    """Collects tags with their line numbers, which the standard library's ElementTree does not keep."""

    def __init__(self, path: Path) -> None:
        self.path, self.roots, self.open = path, list[_Raw](), list[_Raw]()
        self.parser = expat.ParserCreate()
        self.parser.StartElementHandler = self.start
        self.parser.EndElementHandler = lambda _tag: self.open.pop()
        self.parser.CharacterDataHandler = self.text

    def parse(self, source: bytes) -> list[_Raw]:
        try:
            self.parser.Parse(source, True)
        except expat.ExpatError as error:
            reason = expat.errors.messages[error.code]
            raise LaunchError(Where(self.path, error.lineno), "not well-formed XML", reason) from error
        return self.roots

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        raw = _Raw(tag, attributes, Where(self.path, self.parser.CurrentLineNumber))
        (self.open[-1].children if self.open else self.roots).append(raw)
        self.open.append(raw)

    def text(self, text: str) -> None:
        if text.strip():
            where = Where(self.path, self.parser.CurrentLineNumber)
            raise LaunchError(where, f"text inside <{self.open[-1].tag}>", text.strip())


def _element(raw: _Raw, rows: Tag) -> Element:
    row = rows.children.get(raw.tag)
    if row is None:
        raise LaunchError(raw.where, "unknown tag here", raw.tag, rows.children)
    for name in raw.attributes:
        if name not in row.required | row.optional:
            raise LaunchError(raw.where, f"unknown attribute of <{raw.tag}>", name, row.required | row.optional)
    for name in sorted(row.required - raw.attributes.keys()):
        raise LaunchError(raw.where, f"<{raw.tag}> needs the attribute {name!r}", sorted(raw.attributes))
    if {"if", "unless"} <= raw.attributes.keys():
        raise LaunchError(raw.where, f"<{raw.tag}> has both 'if' and 'unless'", sorted(raw.attributes))
    if raw.tag == "param" and raw.attributes.keys() not in ({"from"}, {"name", "value"}, {"name", "value", "type"}):
        raise LaunchError(raw.where, "<param> takes from, or name and value with an optional type", [*raw.attributes])
    templates = {name: parse_template(text, raw.where) for name, text in raw.attributes.items()}
    return Element(raw.tag, templates, tuple(_element(child, row) for child in raw.children), raw.where)
