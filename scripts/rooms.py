"""Counts what a reader of each room meets: files, wings, arrows between them, floors and circles.

    python scripts/rooms.py

A wing is a subpackage, or a file beside them. An arrow says that one wing imports another; a floor is the longest way
down from a wing along its arrows; a circle is a set of wings that import one another.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
ROOMS = {name: ROOT / name for name in ("robots", "simulation", "training", "policy_server", "evaluation", "ferry")}
ROOMS["ferry_ros"] = ROOT / "ros2_ws/src/ferry_ros/ferry_ros"

Arrows = Mapping[str, set[str]]


def modules(room: str) -> dict[str, Path]:
    """Dotted name -> file."""
    found = {}
    for path in sorted(ROOMS[room].rglob("*.py")):
        parts = (room, *path.relative_to(ROOMS[room]).with_suffix("").parts)
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imported(path: Path) -> Iterator[str]:
    """What a file imports, also inside functions: modules, and names that may be modules."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{one.name}" for one in node.names)
        elif isinstance(node, ast.Import):
            yield from (one.name for one in node.names)


def arrows(room: str) -> Arrows:
    """Wing -> the wings that it imports; the room's own `__init__` is none."""
    known = modules(room)
    found: dict[str, set[str]] = {wing_of(name): set() for name in known if name != room}
    for name, path in known.items():
        below = {wing_of(one) for one in imported(path) if one in known and one != room}
        if name != room:
            found[wing_of(name)] |= below - {wing_of(name)}
    return found


def wing_of(module: str) -> str:
    """The subpackage or file below a room that a module is in."""
    return module.split(".")[1]


def above(graph: Arrows, wing: str) -> set[str]:
    """Every wing that is reached from `wing`."""
    reached, waiting = set[str](), [wing]
    while waiting:
        new = graph[waiting.pop()] - reached
        reached |= new
        waiting += new
    return reached


def circles(graph: Arrows) -> set[frozenset[str]]:
    """Sets of wings that import one another."""
    reached = {wing: above(graph, wing) for wing in graph}
    mutual = (frozenset(one for one in reached[wing] if wing in reached[one]) for wing in graph)
    return {one for one in mutual if one}


def floors(graph: Arrows) -> int:
    """The number of wings on the longest way down; only for a room without a circle."""

    @cache
    def height(wing: str) -> int:
        return 1 + max(map(height, graph[wing]), default=0)

    return max(map(height, graph))


def main() -> None:
    """Prints a table."""
    print("| room | files | wings | floors | arrows | circles |\n|---|---|---|---|---|---|")
    for room in ROOMS:
        graph = arrows(room)
        rings = circles(graph)
        high = "-" if rings else str(floors(graph))
        count = sum(map(len, graph.values()))
        print(f"| {room} | {len(modules(room))} | {len(graph)} | {high} | {count} | {len(rings)} |")


if __name__ == "__main__":
    main()
