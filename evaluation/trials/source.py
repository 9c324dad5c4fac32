"""Where a table of trials comes from: a folder of trials, an evaluation's folder, or a CSV file."""

from __future__ import annotations

from pathlib import Path

from evaluation.errors import FolderError
from evaluation.records.run_folder import RUN_FILE, RunFolder
from evaluation.records.trial_folder import PLAN_FILE, TrialFolder
from evaluation.trials.fieldtrial_csv import read_table
from evaluation.trials.trial_table import TrialTable, of_runs, of_trials


def read_source(path: Path) -> TrialTable:
    """Returns the table of a folder of trials, an evaluation's folder, or a CSV file; FolderError for anything else."""
    if path.is_file():
        return read_table(path)
    if (path / PLAN_FILE).exists():
        return of_trials(TrialFolder.read(path))
    if (path / RUN_FILE).exists():
        return of_runs([RunFolder.read(path)])[0]
    raise FolderError(
        f"{path}: got neither {PLAN_FILE} nor {RUN_FILE} nor a CSV file; pass a folder of `ferry trials plan`"
    )
