"""fieldtrial's trial table (version 0.3.0) as CSV: read what it exports, write what it imports."""

from __future__ import annotations

import csv
import math
from collections import Counter
from collections.abc import Iterable, Mapping
from io import StringIO
from pathlib import Path

from evaluation.errors import RecordError
from evaluation.records.episode import write_text
from evaluation.trials.trial_table import TrialRow, TrialTable

COLUMNS = (
    "trial_id",
    "seq",
    "block",
    "replicate",
    "condition",
    "arm",
    "status",
    "attempt",
    "stage_index",
    "success",
    "termination",
    "duration_s",
    "failure_tags",
    "operator",
    "rig",
    "session_id",
    "started_at",
    "origin",
    "invalid_reason",
    "notes",
)
"""fieldtrial's own columns, in its order; `stage`, its name for `stage_index` on import, comes after them."""
SOFT, TASK, BUNDLE, SIMULATED = "soft_success", "task", "bundle_sha256", "simulated"
OURS = ("stage", SOFT, TASK, BUNDLE, SIMULATED)
"""Columns that fieldtrial passes over."""
_TRUE = ("1", "true", "yes", "y", "t", "success", "ok")
_FALSE = ("0", "false", "no", "n", "f", "fail", "failure")
_INTERRUPTED = {"timeout": "timeout", "intervention": "operator_stop"}
MOST_BYTES = 64 * 2**20


def read_table(path: Path) -> TrialTable:
    """Reads a table; RecordError names the line. Needs the columns condition, arm, and success or a stage.

    Rows of one block are compared in pairs. Without the column `block`, the k-th trial of each arm in a condition is of
    one block. A condition "task/place", which Ferry writes, is taken apart; any other one is a place.
    """
    if path.stat().st_size > MOST_BYTES:
        raise RecordError(path.name, f"{path.stat().st_size} bytes", f"at most {MOST_BYTES}")
    try:
        text = path.read_text(encoding="utf-8-sig")
        reader = csv.DictReader(StringIO(text, newline=""))
        known = set(reader.fieldnames or ())
        for column in ("condition", "arm"):
            if column not in known:
                raise RecordError(path.name, f"no column '{column}'", "columns condition, arm, and success or stage")
        if not known & {"success", "stage", "stage_index"}:
            raise RecordError(path.name, "no column 'success'", "columns condition, arm, and success or stage")
        records = [
            (reader.line_num, {key: (value or "").strip() for key, value in row.items() if key}) for row in reader
        ]
    except (UnicodeDecodeError, csv.Error, AttributeError) as error:
        raise RecordError(path.name, f"'{error}'", "a CSV file in UTF-8 with one trial in each line") from error
    seen: Counter[tuple[str, str]] = Counter()
    most = max([_stage(line, row, path) or 0 for line, row in records], default=0)
    return TrialTable(path.stem, tuple(_row(line, row, path, seen, most) for line, row in records))


def _row(line: int, row: Mapping[str, str], path: Path, seen: Counter[tuple[str, str]], most: int) -> TrialRow:
    where = f"{path.name}:{line}"
    condition, arm = row["condition"], row["arm"]
    if not condition or not arm:
        raise RecordError(where, "no condition or no arm", "both", line=line)
    counts = row.get("status", "").lower() != "invalid"
    stage = _stage(line, row, path)
    strict = truth(row.get("success", ""), where, line) if counts else None
    if counts and strict is None:
        if stage is None:
            raise RecordError(where, "no success and no stage", "one of them", line=line)
        strict = stage == most
    if counts:
        seen[condition, arm] += 1
    task, mark, place = condition.partition("/")
    is_ours = bool(mark) and row.get(TASK, "") == task
    return TrialRow(
        task=task if is_ours else row.get(TASK, "") or "all",
        place=place if is_ours else condition,
        block=row.get("block") or f"{condition} {seen[condition, arm]}",
        arm=arm,
        strict=strict,
        soft=truth(row.get(SOFT, ""), where, line),
        progress=None if stage is None or not counts else (stage + 1) / (most + 1),
        duration_s=_seconds(row.get("duration_s", ""), where, line),
        failure="; ".join(one for one in (row.get("failure_tags", ""), row.get("invalid_reason", "")) if one),
        note=row.get("notes", ""),
        operator=row.get("operator", ""),
        started=row.get("started_at", ""),
        attempt=int(row.get("attempt") or 1) if (row.get("attempt") or "1").isdigit() else 1,
        simulated=row.get(SIMULATED, "").lower() in _TRUE,
        bundle_sha256=row.get(BUNDLE, ""),
        stages=None if stage is None else stage + 1,
    )


def _stage(line: int, row: Mapping[str, str], path: Path) -> int | None:
    """Returns the furthest stage from 0; -1 for none; None where the table has no stages."""
    text = row.get("stage_index", "") or row.get("stage", "")
    try:
        return int(text) if text else None
    except ValueError as error:
        raise RecordError(f"{path.name}:{line}", f"stage '{text}'", "its index, from 0", line=line) from error


def truth(text: str, where: str, line: int) -> bool | None:
    """Reads "true", "no", "1" and the like, None for nothing; RecordError names the line."""
    word = text.lower()
    if word and word not in (*_TRUE, *_FALSE):
        raise RecordError(where, f"'{text}'", "true or false", line=line)
    return None if not word else word in _TRUE


def _seconds(text: str, where: str, line: int) -> float | None:
    try:
        value = float(text) if text else None
    except ValueError:
        value = math.nan
    if value is not None and not 0 <= value < math.inf:
        raise RecordError(where, f"duration_s '{text}'", "seconds, from 0", line=line)
    return value


def write_table(table: TrialTable, path: Path) -> None:
    """Writes a table that fieldtrial imports and `read_table` reads; Ferry's own columns come after fieldtrial's."""
    text = StringIO(newline="")
    writer = csv.DictWriter(text, fieldnames=(*COLUMNS, *OURS), lineterminator="\n")
    writer.writeheader()
    writer.writerows(_records(table.rows))
    write_text(path, text.getvalue())


def _records(rows: Iterable[TrialRow]) -> Iterable[dict[str, object]]:
    replicates: Counter[tuple[str, str, str]] = Counter()
    for number, row in enumerate(rows, start=1):
        replicates[row.task, row.place, row.arm] += row.strict is not None
        counts = row.strict is not None
        yield {
            "trial_id": f"ferry-{number:05d}",
            "seq": number,
            "block": row.block,
            "replicate": max(1, replicates[row.task, row.place, row.arm]),
            "condition": f"{row.task}/{row.place}",
            "arm": row.arm,
            "status": "completed" if counts else "invalid",
            "attempt": row.attempt,
            "stage_index": "" if row.stages is None else row.stages - 1,
            "success": "" if row.strict is None else row.strict,
            "termination": "success" if row.strict else _INTERRUPTED.get(row.failure, "other"),
            "duration_s": "" if row.duration_s is None else row.duration_s,
            "failure_tags": row.failure if counts else "",
            "operator": row.operator,
            "rig": "twin" if row.simulated else "",
            "session_id": "",
            "started_at": row.started,
            "origin": "ferry",
            "invalid_reason": "" if counts else row.failure or "aborted",
            "notes": row.note,
            "stage": "" if row.stages is None else row.stages - 1,
            SOFT: "" if row.soft is None else row.soft,
            TASK: row.task,
            BUNDLE: row.bundle_sha256,
            SIMULATED: row.simulated,
        }
