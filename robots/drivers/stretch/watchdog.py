"""Stops the wheels of a Stretch when the process that drives it is gone.

The boards complete the step that they were given even when the driver has died: up to 0.2 m more after `kill -9`.
Therefore the driver starts a watchdog, a process of its own that reads from a pipe. When the pipe closes without the
message `RELEASED`, the watchdog opens the wheels' boards, whose ports are free by then, and brakes them. Lift and arm
complete their step of 0.1 m at most.
"""

from __future__ import annotations

import logging
import subprocess
import sys
import termios
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from robots.drivers.stretch import sdk

RELEASED = b"released\n"
"""Message of a driver that releases the robot in an orderly way."""

END_S = 3.0
GIVE_UP_S, AGAIN_S, REPLY_S = 3.0, 0.01, 0.1
"""Time limit of braking, pause before a retry, and timeout of a board's reply."""


class WheelWatchdog:
    """Starts the watchdog process, which is armed until `release`.

    Args:
        folder: the robot's calibration (`<fleet path>/<fleet id>`).
    """

    def __init__(self, folder: Path) -> None:
        command = [sys.executable, "-m", "robots.drivers.stretch.watchdog", str(folder)]
        # In a session of its own: a signal to the process group of the driver (Ctrl-C) must not reach the watchdog.
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)

    def release(self) -> None:
        """Disarms the watchdog: it ends without touching the wheels."""
        try:
            self._process.communicate(RELEASED, timeout=END_S)
        except subprocess.TimeoutExpired:  # it was not ready yet, and would read the message later
            self._process.kill()
            self._process.wait()


def main(argv: Sequence[str]) -> int:
    """Waits for the driver to end; stops the wheels unless it released the robot. Argument: the calibration folder."""
    base = sdk.load_base(Path(argv[0]))  # before it is needed: importing the SDK takes a second
    if sys.stdin.buffer.read() == RELEASED:
        return 0
    stopped = brake(base)
    logging.getLogger(__name__).warning("the driver died; the wheels %s", "are braked" if stopped else "do not answer")
    return 0 if stopped else 1


def brake(base: Any) -> bool:
    """Ramps the wheels to zero; False when a board does not take the command within `GIVE_UP_S`.

    The SDK's start-up puts the boards in MODE_SAFETY, as the runstop does: that alone stops them, but less quickly.
    Retries until both boards have taken the command: the dead process may still hold its ports, and a frame that it
    left incomplete corrupts the first request. Each wheel is commanded separately, whatever happens to the other.
    """
    wheels = (base.left_wheel, base.right_wheel)
    for wheel in wheels:
        _shorten_timeouts(wheel.transport)
    deadline = time.monotonic() + GIVE_UP_S
    while [wheel for wheel in wheels if not _commanded(base, wheel)]:
        if time.monotonic() > deadline:
            return False
        time.sleep(AGAIN_S)
    return True


def _commanded(base: Any, wheel: Any) -> bool:
    """True when a wheel has taken the command; otherwise closes its connection, so that the next try opens it again."""
    try:
        taken = bool(wheel.hw_valid or wheel.startup(threaded=False)) and _braked(base, wheel)
    except Exception:  # stretch_body 0.7.31: a lost reply shows as an IndexError, a damaged one as a ValueError
        logging.getLogger(__name__).debug("%s", wheel.name, exc_info=True)
        taken = False
    if not taken:
        with suppress(OSError, termios.error):
            wheel.transport.stop()
        wheel.hw_valid = False
    return taken


def _braked(base: Any, wheel: Any) -> bool:
    """Sends the command; True without an error. The SDK only counts errors, or silently drops the port."""
    wheel.disable_sync_mode()  # no process sends the sync pulse; the next start-up enables it again
    base.set_velocity(0.0, 0.0, a=base.params["motion"]["max"]["accel_m"])
    count, before = wheel.transport.status["sync"], dict(wheel.transport.status["sync"])
    wheel.push_command()
    errors = any(count[name] != before[name] for name in ("read_error", "write_error"))
    return not errors and wheel.transport.sync_handler.ser is not None


def _shorten_timeouts(transport: Any) -> None:
    """Makes the start-up of a transport discard pending input for the dead process and set short timeouts."""
    opened = transport.startup

    def startup() -> bool:
        if not opened():
            return False
        transport.ser.reset_input_buffer()
        transport.ser.write_timeout = transport.sync_handler.timeout = REPLY_S  # the SDK's are 1 s
        return True

    transport.startup = startup


if __name__ == "__main__":
    logging.basicConfig(format="stretch_watchdog: %(message)s")
    sys.exit(main(sys.argv[1:]))
