"""CAN connection of piper_sdk, with the diagnostics that the SDK lacks.

The SDK neither times feedback on a clock that cannot jump, nor tells that a frame was not sent, nor sees that the bus
is off (python-can's socketcan always says "active"). So its bus is wrapped: all frames pass through a `Watch`.
"""

from __future__ import annotations

import contextlib
import io
import threading
import time
import warnings
from collections.abc import Callable, Iterable
from typing import Any

from robots.drivers.piper.can_bus import open_bus
from robots.errors import NotInstalled
from robots.plausibility import CLEAR_S

# Linux include/uapi/linux/can/error.h: classes in the identifier of an error frame.
ERROR_BUS_OFF, ERROR_RESTARTED = 0x40, 0x100

FAILED_SENDS = 3
"""Consecutive failed frames after which no other node on the bus acknowledges."""

GAP_NS = 100_000_000
"""Frames of a Piper come every 5 ms: a longer pause is a bus that does not carry."""

SLICE_S = 0.03
"""Receive timeout, after which the thread checks whether to end; the SDK's own 1 s would outlive a disconnect."""


class Watch:
    """Records when each kind of frame was last received, and whether the bus carries frames. Thread-safe.

    A fault ends when frames have come in without a pause for `CLEAR_S`, which they do on no bus that is off.

    Args:
        listener: called with the identifier of each frame that the SDK has read, and when it came.
    """

    def __init__(self, listener: Callable[[int, int], None] = lambda identifier, at_ns: None) -> None:
        self._listener = listener
        self._heard_ns: dict[int, int] = {}
        self._failed = 0
        self._carries_ns = self._last_ns = -1  # since when, after a fault, and when the last one came
        self._lock = threading.Lock()
        self.fault = ""

    def heard(self, message: Any, at_ns: int) -> None:
        """Notes a frame (`can.Message`) that came in at `at_ns` and that the SDK has read."""
        with self._lock:
            if message.is_error_frame:
                self._judge(message.arbitration_id)
                return
            self._heard_ns[message.arbitration_id] = at_ns
            if self.fault:
                self._note_carried(at_ns)
        self._listener(message.arbitration_id, at_ns)

    def sent(self, error: Exception | None) -> None:
        """Notes that a frame went out, or why it did not."""
        with self._lock:
            self._failed = 0 if error is None else self._failed + 1
            if self._failed >= FAILED_SENDS:
                self._fail(f"bus-off: {self._failed} frames in a row could not be sent ({error})")

    def last_ns(self, identifiers: Iterable[int]) -> int:
        """Monotonic time of the oldest of these frames; -1 when one was never received."""
        with self._lock:
            return min(self._heard_ns.get(identifier, -1) for identifier in identifiers)

    def _judge(self, error_class: int) -> None:
        if error_class & ERROR_BUS_OFF:
            self._fail(
                "bus-off: the CAN controller left the bus; check cable and termination, then `ip link set` it up"
            )
        elif error_class & ERROR_RESTARTED:
            self.fault, self._failed = "", 0

    def _fail(self, fault: str) -> None:
        self.fault, self._carries_ns = fault, -1

    def _note_carried(self, at_ns: int) -> None:
        if self._carries_ns < 0 or at_ns - self._last_ns > GAP_NS:
            self._carries_ns = at_ns
        elif at_ns - self._carries_ns >= CLEAR_S * 1e9:
            self.fault, self._failed = "", 0
        self._last_ns = at_ns


def open_sdk(channel: str, interface: str, watch: Watch) -> Any:
    """A connected `C_PiperInterface_V2` whose frames all pass `watch`.

    The SDK would open two buses of its own (a serial adapter opens only once); it gets one of ours for both instead.

    Raises:
        ConnectionFailed: the SDK, python-can or the interface is missing, down, or not ours to open.
    """
    sdk_class = _sdk()
    bus = watched(open_bus(channel, interface), watch)
    with quiet():
        sdk = sdk_class(channel, judge_flag=False, can_auto_init=False)
        sdk.CreateCanBus(f"unused-{channel}", bustype="virtual")
        port = sdk.GetCanBus()
        port.Close()
        port.recv_bus = port.send_bus = bus
        sdk.ConnectPort(can_init=True, piper_init=False)
    return sdk


def close_sdk(sdk: Any) -> None:
    """Ends the SDK's reading; afterwards `open_sdk` with the same channel works again.

    The SDK keeps one object per channel and forgets to wait for its reading thread.
    """
    sdk.DisconnectPort()
    time.sleep(2 * SLICE_S)


def watched(bus: Any, watch: Watch) -> Any:
    """A python-can bus that passes every frame by `watch` and, once the bus is off, sends none."""
    import can

    class WatchedBus(can.BusABC):  # the SDK asks for an instance of it
        channel_info = str(bus.channel_info)

        def __init__(self) -> None:
            self._is_shutdown = False
            self._given: tuple[can.Message, int] | None = None

        def recv(self, timeout: float | None = None) -> can.Message | None:
            if self._given is not None:  # the SDK asks for the next frame when it has taken this one apart
                watch.heard(*self._given)
            message: can.Message | None = bus.recv(SLICE_S)
            self._given = None if message is None else (message, time.monotonic_ns())
            return message

        def send(self, msg: can.Message, timeout: float | None = None) -> None:
            if watch.fault:
                raise can.CanOperationError(watch.fault)
            try:
                bus.send(msg, timeout)
            except Exception as error:
                watch.sent(error)
                raise
            watch.sent(None)

        def shutdown(self) -> None:
            self._is_shutdown = True
            bus.shutdown()

    return WatchedBus()


@contextlib.contextmanager
def quiet() -> Any:
    """The SDK prints, and calls python-can in a way that is deprecated until python-can 5."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore", DeprecationWarning)
        yield


def _sdk() -> Any:
    try:
        from piper_sdk import C_PiperInterface_V2  # type: ignore[import-untyped,import-not-found,unused-ignore]
    except ImportError as error:
        raise NotInstalled(f"piper_sdk cannot be imported ({error}): pip install -e '.[piper]'") from error
    return C_PiperInterface_V2
