"""Reads the records of an MCAP file in order, also of one that was cut off."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import zstandard
from mcap.exceptions import EndOfFile, InvalidMagic, McapError
from mcap.records import Channel, Message, Schema
from mcap.stream_reader import StreamReader
from mcap.writer import MCAP0_MAGIC
from mcap_ros2.decoder import DecoderFactory

from evaluation.errors import RecordError

DAMAGED = (McapError, struct.error, zlib.error, zstandard.ZstdError)
"""What reading a record raises that is not whole."""

Record = tuple[Schema, Channel, Message]


def records(path: Path) -> Iterator[Record]:
    """Every message of a file with its channel and schema, up to where the file was cut off. McapError for none."""
    schemas: dict[int, Schema] = {}
    channels: dict[int, Channel] = {}
    with path.open("rb") as file:
        try:
            for record in StreamReader(file).records:
                if isinstance(record, Schema):
                    schemas[record.id] = record
                elif isinstance(record, Channel):
                    channels[record.id] = record
                elif isinstance(record, Message):
                    channel = channels[record.channel_id]
                    yield schemas[channel.schema_id], channel, record
        except InvalidMagic:
            if not channels:
                raise
        except (EndOfFile, *DAMAGED):
            if is_finished(path):
                raise


def is_finished(path: Path) -> bool:
    """True if the file ends as an MCAP does, with its index."""
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - len(MCAP0_MAGIC)))
        return file.read() == MCAP0_MAGIC and size > len(MCAP0_MAGIC)


class Messages:
    """Messages of a recording.

    Args:
        path: of the MCAP file; RecordError while reading one that is none.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._factory = DecoderFactory()

    def of(self, wanted: Callable[[str], bool]) -> Iterator[tuple[str, int, bytes, Callable[[], Any]]]:
        """(topic, arrival [ns since 1970], CDR, decode) of every message on a topic that is `wanted`."""
        try:
            for schema, channel, message in records(self.path):
                if wanted(channel.topic):
                    decoder = self._factory.decoder_for(channel.message_encoding, schema)
                    if decoder is None:
                        raise RecordError(str(self.path), f"{channel.message_encoding} on {channel.topic}", "CDR")
                    yield channel.topic, message.log_time, message.data, _decode(decoder, message.data)
        except (KeyError, *DAMAGED) as error:
            raise RecordError(str(self.path), f"'{type(error).__name__}: {error}'", "an MCAP recording") from error


def _decode(decoder: Callable[[bytes], Any], data: bytes) -> Callable[[], Any]:
    return lambda: decoder(data)


def stamp_of(data: bytes) -> int:
    """The stamp [ns] of a message in CDR that begins with a std_msgs/Header."""
    order = "<" if data[1] & 1 else ">"
    seconds, nanoseconds = struct.unpack_from(f"{order}iI", data, 4)
    return int(seconds) * 10**9 + int(nanoseconds)
