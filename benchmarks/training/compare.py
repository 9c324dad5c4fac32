"""Two results of `ferry train evaluate` in the same houses, house by house.

    python -m benchmarks.training.compare runs/mini/bc/test_greedy.json runs/mini/ppo1/test_greedy.json

How many houses the second solved that the first did not, how many it lost, the difference with its 95 % interval
(Newcombe 1998), and the p-value of McNemar's exact test.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import tyro

from evaluation.statistics.pairs import paired

Result = Annotated[Path, tyro.conf.Positional]
"""A file that `ferry train evaluate` wrote, of one task."""


def solved(path: Path) -> dict[int, bool]:
    """Whether the episode in each house was a success."""
    return {one["house"]: bool(one["success"]) for one in json.loads(path.read_text(encoding="utf-8"))["episodes"]}


def main(before: Result, after: Result) -> None:
    """Prints one line."""
    first, second = solved(before), solved(after)
    both = sorted(first.keys() & second.keys())
    found = paired([second[one] for one in both], [first[one] for one in both])
    gain = found.difference
    print(
        f"{len(both)} houses: {found.only_first} won, {found.only_second} lost, "
        f"{100 * gain.value:+.1f} points [{100 * gain.low:+.1f}, {100 * gain.high:+.1f}], p = {found.p_value:.2g}"
    )


if __name__ == "__main__":
    tyro.cli(main)
