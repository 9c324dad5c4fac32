"""The recorder's thread outlives whatever a message or a folder does to it, and says what is missing."""

from __future__ import annotations

import struct
import time
from collections.abc import Callable
from pathlib import Path

from ferry_ros.trial_recorder import Kept, Roles, TrialMark, TrialRecorder
from ros_graph import wait_until

from evaluation.recordings.mcap_reader import is_finished
from evaluation.recordings.mcap_writer import Topic

BEGUN, ENDED, ODD = (Topic(name, "std_msgs/msg/String", "string data") for name in ("/begun", "/ended", "/odd"))


class Recorded:
    """A recorder, and what it says; `odd` is called with each message of the topic /odd."""

    def __init__(self, folder: Path, odd: Callable[[], None] = lambda: None) -> None:
        self.lines: list[tuple[str, bool]] = []
        self._odd = odd
        roles = Roles(BEGUN.name, ENDED.name, "/decision", lambda data: TrialMark(time.time_ns(), data.decode()))
        self.recorder = TrialRecorder(folder, roles, self._watch, lambda line, fault: self.lines.append((line, fault)))

    def trial(self, folder: str = "") -> None:
        """A trial of one message."""
        self.recorder.take(BEGUN, folder.encode())
        self.recorder.take(ODD, b"message")
        self.recorder.take(ENDED, bytes(4) + struct.pack("<iI", *divmod(time.time_ns(), 10**9)))

    def _watch(self, topic: Topic, data: bytes, kept: Kept) -> list[tuple[Topic, bytes]]:
        if topic == ODD:
            self._odd()
        return []


def test_a_message_that_nobody_foresaw_ends_its_file_and_not_the_next_one(tmp_path: Path) -> None:
    errors = [RecursionError("nested too deeply")]

    def odd() -> None:
        if errors:
            raise errors.pop()

    recorded = Recorded(tmp_path, odd)
    recorded.trial()
    wait_until(lambda: recorded.lines)
    assert "nested too deeply" in recorded.recorder.state.fault
    recorded.trial()
    wait_until(lambda: len(recorded.lines) == 2)
    recorded.recorder.close()
    assert [fault for _, fault in recorded.lines] == [True, False]
    assert is_finished(Path(recorded.recorder.state.last))
    assert recorded.recorder.state.fault == ""


def test_a_folder_that_cannot_be_looked_into_is_another_computers(tmp_path: Path) -> None:
    recorded = Recorded(tmp_path)
    recorded.trial("n" * 5000)
    wait_until(lambda: recorded.lines)
    recorded.recorder.close()
    assert Path(recorded.recorder.state.last).parent == tmp_path
    assert is_finished(Path(recorded.recorder.state.last))


def test_a_file_that_was_removed_does_not_end_the_recorder(tmp_path: Path) -> None:
    recorded = Recorded(tmp_path)
    recorded.recorder.take(BEGUN, b"")
    wait_until(lambda: recorded.recorder.state.file)
    Path(recorded.recorder.state.file).unlink()
    recorded.recorder.take(ENDED, bytes(12))
    wait_until(lambda: not recorded.recorder.state.file)
    recorded.trial()
    wait_until(lambda: recorded.lines)
    recorded.recorder.close()
    assert is_finished(Path(recorded.recorder.state.last))
