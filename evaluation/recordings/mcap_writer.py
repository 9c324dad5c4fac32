"""Writes one MCAP file so that little is lost however its process ends.

The file grows by whole chunks, each of which is readable by itself; `flush` closes the current one and gives it to the
disk. A process that is killed loses what came since the last flush, and the end of the file with its index, which
`close_unfinished` makes up for later.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

from mcap.records import Channel, Schema
from mcap.writer import CompressionType, Writer

from evaluation.recordings.mcap_reader import DAMAGED, is_finished, records

CHUNK_BYTES = 4 * 2**20
SUFFIX = ".mcap"
CDR, JSON = "cdr", "json"


@dataclass(frozen=True)
class Topic:
    """A topic of a recording.

    Attributes:
        name: in full, e.g. "/stretch/odom".
        kind: type of its messages, e.g. "nav_msgs/msg/Odometry".
        definition: of that type and those that it refers to, as rosbag2 writes it.
        latched: True where a late listener gets the last message, which a player has to know.
        stamped: True if its messages begin with a std_msgs/Header.
        encoding: of its messages: "cdr", or "json" with a JSON schema as the definition.
    """

    name: str
    kind: str
    definition: str
    latched: bool = False
    stamped: bool = False
    encoding: str = CDR


class McapWriter:
    """One file that is being written. Locked: `close_unfinished` leaves it alone.

    Args:
        path: of the file, which must not exist; its folder is made. OSError where that fails.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._file: IO[bytes] = path.open("xb", buffering=0)
        fcntl.flock(self._file, fcntl.LOCK_EX)
        self._writer: Any = Writer(
            cast(IO[bytes], _Whole(self._file)), chunk_size=CHUNK_BYTES, compression=CompressionType.ZSTD
        )
        self._writer.start(profile="ros2", library="ferry")
        self._schemas: dict[str, int] = {}
        self._channels: dict[str, int] = {}
        self._sequences: dict[str, int] = {}

    def add(self, topic: Topic, at_ns: int, data: bytes) -> None:
        """Adds a message that arrived `at_ns` after 1970 [ns]; OSError when the disk does not take a chunk."""
        sequence = self._sequences[topic.name] = self._sequences.get(topic.name, -1) + 1
        self._writer.add_message(self._channel(topic), at_ns, data, at_ns, sequence)

    def flush(self) -> None:
        """Closes the current chunk and waits until the disk has it; OSError when it does not take it."""
        self._writer._Writer__finalize_chunk()  # mcap closes chunks by size alone
        os.fdatasync(self._file.fileno())

    def close(self) -> None:
        """Writes the index and closes the file; OSError when the disk does not take it. Idempotent."""
        if self._file.closed:
            return
        try:
            self._writer.finish()
            os.fdatasync(self._file.fileno())
        finally:
            self._file.close()

    def abandon(self) -> None:
        """Closes the file as it is, without an index; raises nothing."""
        with suppress(OSError):
            self._file.close()

    def _channel(self, topic: Topic) -> int:
        if topic.name not in self._channels:
            language = "ros2msg" if topic.encoding == CDR else "jsonschema"
            if topic.kind not in self._schemas:
                text = topic.definition.encode()
                self._schemas[topic.kind] = self._writer.register_schema(topic.kind, language, text)
            offered = {"offered_qos_profiles": _profile(topic.latched)}
            schema = self._schemas[topic.kind]
            self._channels[topic.name] = self._writer.register_channel(topic.name, topic.encoding, schema, offered)
        return self._channels[topic.name]


class _Whole:
    """A file that takes each part whole or not at all: a chunk that the disk has no room for leaves no piece."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self._end = file, 0

    def write(self, data: bytes) -> int:
        written, view = 0, memoryview(data)
        try:
            while written < len(view):
                written += self._file.write(view[written:])
        except OSError:
            os.ftruncate(self._file.fileno(), self._end)
            self._file.seek(self._end)
            raise
        self._end += written
        return written

    def tell(self) -> int:
        return self._end


def close_unfinished(folder: Path) -> list[Path]:
    """Gives an index to the recordings below `folder` that a killed process left without one; returns them.

    Those that are being written are left alone, and so is what is no MCAP. OSError when the disk takes none.
    """
    closed = []
    for path in sorted(folder.rglob(f"*{SUFFIX}")):
        if is_finished(path):
            continue
        with path.open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                continue
            part = path.with_name(f".{path.name}.part")
            try:
                _copy(path, part)
            except DAMAGED:
                part.unlink(missing_ok=True)
                continue
            except OSError:
                part.unlink(missing_ok=True)
                raise
            os.replace(part, path)
            closed.append(path)
    return closed


def _copy(source: Path, target: Path) -> None:
    with target.open("wb") as file:
        writer: Any = Writer(file, chunk_size=CHUNK_BYTES, compression=CompressionType.ZSTD)
        writer.start(profile="ros2", library="ferry")
        schemas: dict[int, int] = {}
        channels: dict[int, int] = {}
        for schema, channel, message in records(source):
            if channel.id not in channels:
                channels[channel.id] = _register(writer, schema, channel, schemas)
            writer.add_message(
                channels[channel.id], message.log_time, message.data, message.publish_time, message.sequence
            )
        writer.finish()
        os.fsync(file.fileno())


def _register(writer: Any, schema: Schema, channel: Channel, schemas: dict[int, int]) -> int:
    if schema.id not in schemas:
        schemas[schema.id] = writer.register_schema(schema.name, schema.encoding, schema.data)
    metadata = dict(channel.metadata)
    return int(writer.register_channel(channel.topic, channel.message_encoding, schemas[schema.id], metadata))


def _profile(latched: bool) -> str:
    """Quality of service in the form of rosbag2, which a player offers again."""
    return (
        "- history: keep_last\n  depth: 10\n  reliability: reliable\n"
        f"  durability: {'transient_local' if latched else 'volatile'}\n"
    )


def free_name(folder: Path, stem: str) -> Path:
    """The first of stem.mcap, stem-2.mcap, ... that `folder` does not hold."""
    names: Iterable[str] = (f"{stem}{'' if number == 1 else f'-{number}'}{SUFFIX}" for number in range(1, 10_000))
    return next(folder / name for name in names if not (folder / name).exists())
