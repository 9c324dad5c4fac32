"""Parameters of a network as rows of text: published name, shape in letters, name in this repository."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Place:
    """The shape of one of their parameters, and its name in our network."""

    shape: Shape
    ours: str


@dataclass(frozen=True)
class Part:
    """Parameters with a common prefix; `layers` names their count where they repeat."""

    theirs: str
    ours: str
    rows: str
    layers: str = ""


def table_of(parts: tuple[Part, ...], sizes: Mapping[str, int], layers: Mapping[str, int]) -> dict[str, Place]:
    """Lists every parameter by its published name; `sizes` are the letters' values, `layers` the parts' repetitions."""
    table = {}
    for part in parts:
        for layer in [f"{i}." for i in range(layers[part.layers])] if part.layers else [""]:
            for theirs, shape, ours in _rows(part):
                place = ours if ours == "-" else f"{part.ours}{layer}{ours}"
                table[f"{part.theirs}{layer}{theirs}"] = Place(_shape(shape, sizes), place)
    return table


def _rows(part: Part) -> Iterator[tuple[str, str, str]]:
    for line in part.rows.strip().splitlines():
        theirs, shape, ours = line.split()
        yield theirs, shape, ours


def _shape(text: str, sizes: Mapping[str, int]) -> Shape:
    """(1536, 512) of "3d,d"."""
    return tuple(_size(part, sizes) for part in text.split(","))


def _size(text: str, sizes: Mapping[str, int]) -> int:
    if text.isdigit():
        return int(text)
    if text.endswith("/2"):
        return sizes[text[:-2]] // 2
    return int(text[:-1] or 1) * sizes[text[-1]]
