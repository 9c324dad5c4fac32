"""Safe reading of files that torch wrote: complete, with checked checksums, and without running code from them."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from training.errors import CheckpointError

SHOWN = 8
"""Names listed in a message; a network has hundreds."""


def read(path: Path, expected: str, harmless: Sequence[Any] = (), *, mapped: bool = False) -> Any:
    """Reads a file of tensors and plain values.

    Args:
        path: of the file.
        expected: what it should be, for messages, e.g. "a checkpoint".
        harmless: classes besides torch's own that a file may hold.
        mapped: leave the tensors on the disk until they are used.

    Raises:
        CheckpointError: there is no such file, it is damaged or cut short, or holds other objects.
    """
    _expect_whole(path, expected)
    try:
        with torch.serialization.safe_globals(list(harmless)):
            return torch.load(path, map_location="cpu", weights_only=True, mmap=mapped and zipfile.is_zipfile(path))
    except Exception as error:  # torch raises many kinds for a damaged file
        found = re.search(r"GLOBAL (\S+) (?:was not|whose module)|[Uu]nsupported (?:global|class) (\S+)", str(error))
        got, hint = f"{type(error).__name__}: {_line(error)}", ""
        if found:
            got = f"an object of {found[1] or found[2]}, which is neither a tensor nor a plain value"
            hint = "; save its parameters alone where it came from"
        raise CheckpointError(f"{path}: got {got}, expected {expected} that torch can read{hint}") from error


def expect_numbers(tensors: Mapping[Any, object], where: str) -> None:
    """Raises CheckpointError, which begins with `where`, for what is no tensor of finite numbers that are all there."""
    odd = [name for name, value in tensors.items() if not isinstance(value, Tensor)]
    if odd:
        got = f"{shown(odd)} as {type(tensors[odd[0]]).__name__}"
        raise CheckpointError(f"{where}: got {got}, expected tensors by name")
    known = {name: value for name, value in tensors.items() if isinstance(value, Tensor)}
    odd = [name for name, value in known.items() if value.layout is not torch.strided or value.is_meta]
    if odd:
        raise CheckpointError(f"{where}: got {shown(odd)} sparse or without values, expected all of their numbers")
    odd = [name for name, value in known.items() if value.is_floating_point() and not torch.isfinite(value).all()]
    if odd:
        raise CheckpointError(f"{where}: got NaN or infinity in {shown(odd)}, expected finite numbers")


def shown(names: Iterable[object], most: int = SHOWN) -> str:
    """The first names, and how many more there are."""
    listed = [str(name) for name in names]
    rest = f" and {len(listed) - most} more" if len(listed) > most else ""
    return ", ".join(listed[:most]) + rest


def _expect_whole(path: Path, expected: str) -> None:
    if path.is_dir():
        raise CheckpointError(f"{path}: got a folder, expected a file with {expected}")
    if not path.is_file():
        raise CheckpointError(f"{path}: got no such file, expected {expected}")
    with path.open("rb") as file:
        head = file.read(512)
    size = f"{path.stat().st_size} bytes"
    if not head:
        raise CheckpointError(f"{path}: got an empty file, expected {expected}")
    if head.lstrip()[:1] == b"<":
        raise CheckpointError(f"{path}: got a page of HTML or XML ({size}), expected {expected}; download it again")
    if head[:4] != b"PK\x03\x04":
        return  # torch's older format, which has no checksums
    if not zipfile.is_zipfile(path):
        raise CheckpointError(f"{path}: got a file that is cut short ({size}), expected {expected}; download it again")
    damaged = _damaged(path)
    if damaged:
        got = f"bytes in {damaged} that do not match its checksum"
        raise CheckpointError(f"{path}: got {got}, expected {expected} as it was written; download it again")


def _damaged(path: Path) -> str:
    """The first member of a zip that is not as it was written; empty where all are."""
    try:
        with zipfile.ZipFile(path) as file:
            return file.testzip() or ""
    except (OSError, EOFError, RuntimeError, NotImplementedError, zipfile.BadZipFile) as error:
        return f"the archive ({_line(error)})"


def _line(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text if len(text) <= 160 else f"{text[:80]} ... {text[-75:]}"
