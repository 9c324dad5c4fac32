"""An append-only file of JSON lines that survives being killed: each line is on the disk before it counts.

A line holds its number and a hash over itself and the line before, so that a line that was changed, removed or put in
is found. Only the last line can be half written (the process was killed, the power failed): it is cut off when the
journal is opened for writing again, and passed over by a reader.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evaluation.errors import RecordError

BEGINNING = "0" * 64


@dataclass(frozen=True)
class Line:
    """A line: its number from 0, its content, and the hash of the journal up to it."""

    number: int
    content: Mapping[str, Any]
    sha256: str


class Journal:
    """A journal that is open for writing; `sole` of `evaluation.records.folder_lock` keeps other writers out."""

    def __init__(self, file: int, path: Path, lines: list[Line], cut_bytes: int) -> None:
        self._file, self._path, self.lines, self.cut_bytes = file, path, lines, cut_bytes

    @classmethod
    @contextmanager
    def open(cls, path: Path) -> Iterator[Journal]:
        """Opens or creates the journal; cuts off a half-written last line.

        Raises:
            RecordError: a line before the last one is damaged.
            OSError: the file cannot be written.
        """
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            lines, whole = _parse(_content(file), path)
            size = os.fstat(file).st_size
            if size > whole:
                os.ftruncate(file, whole)
                os.fsync(file)
            _sync_folder(path.parent)
            yield cls(file, path, lines, size - whole)
        finally:
            os.close(file)

    def append(self, content: Mapping[str, Any]) -> Line:
        """Adds a line; it is on the disk when this returns.

        Raises:
            OSError: it could not be written (disk full); the journal is as it was before, and may be tried again.
            ValueError: the content holds NaN, which JSON cannot represent.
        """
        line = _line(self.lines[-1] if self.lines else None, content)
        data = _encoded(line)
        before = os.fstat(self._file).st_size
        try:
            if os.write(self._file, data) < len(data):
                raise OSError(28, "No space left on device")
            os.fsync(self._file)
        except OSError as error:
            os.ftruncate(self._file, before)
            raise OSError(error.errno, error.strerror, str(self._path)) from error
        self.lines.append(line)
        return line


def read_journal(path: Path) -> list[Line]:
    """Returns the lines of a journal, also while another process writes it; RecordError for a damaged one."""
    try:
        return _parse(path.read_bytes(), path)[0]
    except FileNotFoundError as error:
        raise RecordError(str(path), "no such file", "a journal of trials") from error


def _content(file: int) -> bytes:
    return os.pread(file, os.fstat(file).st_size, 0)


def _parse(data: bytes, path: Path) -> tuple[list[Line], int]:
    """Returns the lines, and the number of bytes up to the last whole one."""
    lines: list[Line] = []
    whole = 0
    for raw in data.splitlines(keepends=True):
        line = _decoded(raw, lines[-1] if lines else None)
        if line is None:
            if raw.endswith(b"\n"):
                raise RecordError(
                    f"{path.name}:{len(lines) + 1}", "a line that was damaged or changed", "it as written"
                )
            break
        lines.append(line)
        whole += len(raw)
    return lines, whole


def _line(last: Line | None, content: Mapping[str, Any]) -> Line:
    number, before = (last.number + 1, last.sha256) if last else (0, BEGINNING)
    text = json.dumps([before, number, content], sort_keys=True, allow_nan=False, ensure_ascii=True)
    return Line(number, content, hashlib.sha256(text.encode()).hexdigest())


def _encoded(line: Line) -> bytes:
    values = {"number": line.number, "content": line.content, "sha256": line.sha256}
    return json.dumps(values, allow_nan=False, ensure_ascii=True).encode() + b"\n"


def _decoded(raw: bytes, last: Line | None) -> Line | None:
    """Returns the line, or None for one that is not whole, or not the one that was written after `last`."""
    try:
        values = json.loads(raw)
        line = _line(last, values["content"])
        is_whole = raw.endswith(b"\n") and (values["sha256"], values["number"]) == (line.sha256, line.number)
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return line if is_whole else None


def _sync_folder(folder: Path) -> None:
    file = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)
