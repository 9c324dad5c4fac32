"""`ferry report` of real trials: the page, the tables and the film strips that a paper needs.

With a folder of `ferry trials` (or a table of trials) first, and evaluations of the same bundles on a twin beside it;
other folders are reported by `evaluation.reporting.report`.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import jinja2
import tyro

from evaluation.plans.trial import Outcome
from evaluation.records.episode import FILMSTRIP_FILE, write_json, write_text
from evaluation.records.trial_folder import PLAN_FILE, TrialFolder
from evaluation.reporting import report
from evaluation.reporting.grid import Grid, write_grids
from evaluation.trials.analysis import analyse
from evaluation.trials.fieldtrial_csv import write_table
from evaluation.trials.grids import grids, summary
from evaluation.trials.source import read_source
from robots.processes.text import printable

TEMPLATES = Path(__file__).parent / "templates"
STRIPS = "strips"
SCHEMA = 1


@dataclass(frozen=True)
class Strip:
    """A film strip of a failed trial: the trial's number and task, the judge's note, and the path of the strip."""

    trial: int
    task: str
    note: str
    file: str


def main(argv: Sequence[str]) -> int:
    """Runs the verb."""
    options = tyro.cli(report.Report, prog="ferry report", args=list(argv))
    if not any(is_trials(path) for path in options.folders):
        return report.main(argv)
    words = write_trials_report(options.folders, options.output, options.strips)
    print(printable(words))
    print(f"\n{options.output / 'report.html'}")
    return 0


def is_trials(path: Path) -> bool:
    """Whether a path is a folder of real trials, or a table of trials."""
    return (path / PLAN_FILE).exists() or path.is_file()


def write_trials_report(sources: Sequence[Path], output: Path, most_strips: int = 3) -> str:
    """Writes report.html, report.md, report.json and tables of trials into `output`; returns the tables as text.

    The first folder or table of trials is the evaluation; the other sources stand beside it.
    """
    ordered = sorted(sources, key=lambda path: not is_trials(path))
    first, *others = [read_source(path) for path in ordered]
    analysis = analyse(first, others)
    tables = [grid.trimmed() for grid in grids(analysis) if grid.rows]
    words = [summary(analysis.ranking)] if analysis.ranking is not None else []
    output.mkdir(parents=True, exist_ok=True)
    strips = film_strips(TrialFolder.read(ordered[0]), output, most_strips) if ordered[0].is_dir() else {}
    write_grids(tables, output / "tables")
    write_table(first, output / "tables" / "trials.csv")
    write_text(output / "report.md", _markdown(first.name, words, tables))
    write_json(
        output / "report.json", {"schema": SCHEMA, "name": first.name, "tables": [asdict(one) for one in tables]}
    )
    write_text(output / "report.html", _page(first.name, words, tables, strips))
    return "\n\n".join([first.name, *(grid.text() for grid in tables), *words])


def film_strips(folder: TrialFolder, output: Path, most: int) -> dict[str, list[Strip]]:
    """Copies the film strips of at most `most` failed trials of each kind; kind -> strips, the commonest kind first."""
    found: dict[str, list[Strip]] = {}
    counts: dict[str, int] = {}
    for one in folder.kept():
        kind, recording = one.verdict.failure, folder.path / one.verdict.recording
        if one.verdict.outcome is not Outcome.FAILURE or not kind:
            continue
        counts[kind] = counts.get(kind, 0) + 1
        strip = (recording if recording.is_dir() else recording.parent) / FILMSTRIP_FILE
        if not one.verdict.recording or not strip.is_file() or len(found.get(kind, [])) >= most:
            continue
        place = Path(STRIPS) / f"trial-{one.slot.number:04d}{strip.suffix}"
        (output / STRIPS).mkdir(exist_ok=True)
        shutil.copyfile(strip, output / place)
        found.setdefault(kind, []).append(Strip(one.slot.number, one.slot.task, one.verdict.note, place.as_posix()))
    return dict(sorted(found.items(), key=lambda item: -counts[item[0]]))


def _markdown(name: str, words: Sequence[str], tables: Sequence[Grid]) -> str:
    return "\n\n".join([f"# {name}", *words, *(grid.markdown() for grid in tables)]) + "\n"


def _page(name: str, words: Sequence[str], tables: Sequence[Grid], strips: dict[str, list[Strip]]) -> str:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("trials.html.j2").render(name=name, words=words, tables=tables, strips=strips)
