"""A table of text, written as aligned text, Markdown, CSV and LaTeX."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

from evaluation.records.episode import write_text

_SPECIAL = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
_SPECIAL |= {char: f"\\{char}" for char in "&%$#_{}"}


@dataclass(frozen=True)
class Grid:
    """A table.

    Attributes:
        name: of its files, e.g. "success".
        title: its caption.
        header: names of the columns.
        rows: cells as text, one for each column.
    """

    name: str
    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def trimmed(self) -> Grid:
        """Returns it without columns in which every cell is "-"."""
        kept = [index for index in range(len(self.header)) if {row[index] for row in self.rows} != {"-"}]
        lines = [tuple(line[index] for index in kept) for line in (self.header, *self.rows)]
        return Grid(self.name, self.title, lines[0], tuple(lines[1:]))

    def text(self) -> str:
        """Returns it with aligned columns."""
        return "\n".join([self.title, *aligned([self.header, *self.rows])])

    def markdown(self) -> str:
        """Returns it as Markdown."""
        lines = [self.header, ["---"] * len(self.header), *self.rows]
        return "\n".join([f"## {self.title}", "", *(f"| {' | '.join(map(_bar, line))} |" for line in lines)])

    def csv(self) -> str:
        """Returns it as CSV; a cell that a spreadsheet would compute is quoted."""
        text = StringIO(newline="")
        writer = csv.writer(text, lineterminator="\n")
        writer.writerows([self.header, *([_harmless(cell) for cell in row] for row in self.rows)])
        return text.getvalue()

    def latex(self) -> str:
        """Returns it as a LaTeX table with booktabs' rules."""
        lines = [r"\begin{table}", r"\centering", f"\\caption{{{escaped(self.title)}}}", f"\\label{{tab:{self.name}}}"]
        lines += [f"\\begin{{tabular}}{{{'l' * len(self.header)}}}", r"\toprule", _latex_row(self.header), r"\midrule"]
        lines += [*map(_latex_row, self.rows), r"\bottomrule", r"\end{tabular}", r"\end{table}"]
        return "\n".join(lines) + "\n"


def write_grids(grids: Iterable[Grid], folder: Path) -> None:
    """Writes NAME.csv of each table that has rows, and tables.tex with all of them."""
    known = [grid for grid in grids if grid.rows]
    folder.mkdir(parents=True, exist_ok=True)
    for grid in known:
        write_text(folder / f"{grid.name}.csv", grid.csv())
    head = "% needs \\usepackage{booktabs}\n\n"
    write_text(folder / "tables.tex", head + "\n".join(grid.latex() for grid in known))


def escaped(text: str) -> str:
    """Returns a text with LaTeX's special characters written out."""
    return "".join(_SPECIAL.get(char, char) for char in text)


def aligned(table: Sequence[Sequence[str]]) -> list[str]:
    """Returns the lines of a table with aligned columns."""
    widths = [max(len(line[column]) for line in table) for column in range(len(table[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip() for line in table]


def _latex_row(cells: Sequence[str]) -> str:
    return " & ".join(escaped(cell) for cell in cells) + r" \\"


def _bar(cell: str) -> str:
    return cell.replace("|", "\\|")


def _harmless(cell: str) -> str:
    return f"'{cell}" if re.match(r"[=@]|[+-][^\d]", cell) and len(cell) > 1 else cell
