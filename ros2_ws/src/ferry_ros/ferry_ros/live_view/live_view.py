"""What a live view of a graph does with its messages."""

from __future__ import annotations

from typing import Protocol

from evaluation.recordings.mcap_writer import Topic


class LiveView(Protocol):
    """A kind of viewer, and the connection to it.

    Attributes:
        address: what a person is told: where to look at it.
    """

    address: str

    def take(self, topic: Topic, data: bytes) -> None:
        """Sends a message on: CDR, or JSON where the topic says so. Images come as sensor_msgs/msg/CompressedImage."""

    def close(self) -> None:
        """Ends the connections."""
