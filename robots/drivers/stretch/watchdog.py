"""Stops the wheels of a Stretch when the process that drives it is gone.

The boards end the step that they were given whoever is still there: after `kill -9` of the driver, 0.2 m more. So the
driver has a keeper, a process of its own that waits at the other end of a pipe. When the pipe closes without the word
that all is well, it opens the wheels' boards, which nobody holds any more, and brakes them. Lift and arm end their step
of 0.1 m at most.
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
"""What the driver says when it lets the robot go in order."""

END_S = 3.0
GIVE_UP_S, AGAIN_S, REPLY_S = 3.0, 0.01, 0.1
"""How long the wheels are asked to brake, how long after it was in vain, and how long an answer may take."""


class Keeper:
    """The driver's end: watches from when it is made until `release`."""

    def __init__(self, folder: Path) -> None:
        command = [sys.executable, "-m", "robots.drivers.stretch.watchdog", str(folder)]
        # In a session of its own: what kills the driver and its group, Ctrl-C among them, must not kill its keeper.
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)

    def release(self) -> None:
        """The robot was let go in order; the keeper ends and touches nothing."""
        try:
            self._process.communicate(RELEASED, timeout=END_S)
        except subprocess.TimeoutExpired:  # it was not ready yet, and would read the word later
            self._process.kill()
            self._process.wait()


def main(argv: Sequence[str]) -> int:
    """Waits for the driver's end, and stops the wheels of the robot calibrated in the folder unless it was in order."""
    base = sdk.load_base(Path(argv[0]))  # before it is needed: importing the SDK takes a second
    if sys.stdin.buffer.read() == RELEASED:
        return 0
    stopped = brake(base)
    logging.getLogger(__name__).warning("the driver is gone; the wheels %s", "brake" if stopped else "do not answer")
    return 0 if stopped else 1


def brake(base: Any) -> bool:
    """Ramps the wheels to zero; False when a board does not take the command within `GIVE_UP_S`.

    The SDK's start-up puts the boards in MODE_SAFETY, as the runstop does: that alone stops them, but less quickly.
    It is tried until it works: the dead process may not have let go of its ports yet, and what it left half said on
    a wire spoils the first request. Each wheel is told by itself, whatever becomes of the other.
    """
    wheels = (base.left_wheel, base.right_wheel)
    for wheel in wheels:
        _hasten(wheel.transport)
    deadline = time.monotonic() + GIVE_UP_S
    while [wheel for wheel in wheels if not _told(base, wheel)]:
        if time.monotonic() > deadline:
            return False
        time.sleep(AGAIN_S)
    return True


def _told(base: Any, wheel: Any) -> bool:
    """Whether a wheel has taken the command; if not, its connection is closed, to be made anew."""
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
    """Sends the command; the SDK only counts what goes wrong, or silently forgets the port."""
    wheel.disable_sync_mode()  # nobody is there to give the pulse; the next start-up sets it again
    base.set_velocity(0.0, 0.0, a=base.params["motion"]["max"]["accel_m"])
    count, before = wheel.transport.status["sync"], dict(wheel.transport.status["sync"])
    wheel.push_command()
    errors = any(count[name] != before[name] for name in ("read_error", "write_error"))
    return not errors and wheel.transport.sync_handler.ser is not None


def _hasten(transport: Any) -> None:
    """Once its port is open: throws away what the dead process was still to hear, and waits shortly for replies."""
    opened = transport.startup

    def startup() -> bool:
        if not opened():
            return False
        transport.ser.reset_input_buffer()
        transport.ser.write_timeout = transport.sync_handler.timeout = REPLY_S  # the SDK's are 1 s
        return True

    transport.startup = startup


if __name__ == "__main__":
    logging.basicConfig(format="stretch_keeper: %(message)s")
    sys.exit(main(sys.argv[1:]))
