"""Reads the files of a bundle from a folder or a zip, each within a size limit that is checked first."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

from policy_server.errors import BundleError

Read = Callable[[str, int], bytes]
"""Reads a file by name, up to a number of bytes; BundleError names the file and the fault."""

MAX_MANIFEST_BYTES = 4 * 2**20
MAX_TOKENIZER_BYTES = 64 * 2**20  # Gemma's, the largest in use, has 33 MB
MAX_GRAPH_BYTES = 2 * 2**30  # protobuf's own limit
PACKED_WELL = 100  # weights compress far less; a large file that compresses better is a zip bomb
SMALL = 64 * 2**20
ENCRYPTED = 0x1
KNOWN = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


def reader(path: Path) -> Read:
    """Returns a function that reads the bundle's files; BundleError if `path` is neither a folder nor a zip."""
    if path.is_dir():
        _expect_one(path)
        return lambda name, most: _read_file(path / name, most)
    if not path.is_file():
        raise BundleError(f"{path}: got no such file or folder, expected a policy bundle (a folder or a .zip)")
    if not zipfile.is_zipfile(path):
        raise BundleError(f"{path}: got a file that is not a zip, expected a policy bundle (a folder or a .zip)")
    return lambda name, most: _read_zipped(path, name, most)


def _expect_one(folder: Path) -> None:
    """Raises BundleError, which lists the bundles, if `folder` is not one but holds some."""
    within = [] if (folder / "manifest.json").exists() else sorted(folder.glob("*/manifest.json"))
    if within:
        names = ", ".join(str(manifest.parent) for manifest in within)
        raise BundleError(f"{folder}: got a folder of bundles, expected one of them: {names}")


def line(error: Exception) -> str:
    """Returns the message of `error` as one printable line, shortened in the middle: the reason is at the end."""
    text = "".join(letter if letter.isprintable() else "?" for letter in " ".join(str(error).split()))
    return text if len(text) <= 400 else f"{text[:120]} ... {text[-270:]}"


def _read_file(path: Path, most: int) -> bytes:
    try:
        if path.exists() and not path.is_file():
            raise BundleError(f"{path.name}: got something else in {path.parent}, expected a file")
        size = path.stat().st_size
        if size > most:
            raise _too_large(path.name, size, most)
        with path.open("rb") as file:
            return file.read(size)
    except OSError as error:
        raise BundleError(f"{path.name}: got {error.strerror} in {path.parent}, expected the file") from error


def _read_zipped(path: Path, name: str, most: int) -> bytes:
    try:
        with zipfile.ZipFile(path) as archive:
            info = archive.getinfo(name)
            _check(info, most)
            with archive.open(info) as file:
                return file.read(info.file_size)
    except KeyError as error:
        raise BundleError(f"{name}: got no such file in {path}, expected it at the top of the zip") from error
    except (OSError, zipfile.BadZipFile, zlib.error, NotImplementedError, EOFError, ValueError) as error:
        raise BundleError(f"{name}: got a damaged zip {path} ({line(error)}), expected the file") from error


def _check(info: zipfile.ZipInfo, most: int) -> None:
    """Raises BundleError for a file that must not be unpacked. No more is unpacked than the zip states."""
    if info.file_size > most:
        raise _too_large(info.filename, info.file_size, most)
    if info.file_size > SMALL and info.file_size > PACKED_WELL * info.compress_size:
        got = f"{info.file_size} bytes packed into {info.compress_size}"
        raise BundleError(f"{info.filename}: got {got}, expected at most {PACKED_WELL} times as many")
    if info.flag_bits & ENCRYPTED or info.compress_type not in KNOWN:
        raise BundleError(f"{info.filename}: got an encrypted or unknown packing, expected a plain zip (deflate)")


def _too_large(name: str, size: int, most: int) -> BundleError:
    return BundleError(f"{name}: got {size} bytes, expected at most {most}")
