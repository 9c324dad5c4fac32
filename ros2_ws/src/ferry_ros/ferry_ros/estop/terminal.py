"""A terminal whose keys are commands: keys one by one, and lines that nothing waits for."""

from __future__ import annotations

import sys
import termios
import threading
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from queue import Full, Queue

MOST_LINES = 200
"""Lines that a terminal which takes none is behind, after which further ones are dropped."""


class Lines:
    """Prints lines in a thread of its own: a stalled terminal stalls nothing else.

    Args:
        on_error: called with what printing raised; nothing is printed after it.
    """

    def __init__(self, on_error: Callable[[BaseException], None]) -> None:
        self._on_error = on_error
        self._lines: Queue[str | None] = Queue(MOST_LINES)
        self._thread = threading.Thread(target=self._print, name="lines", daemon=True)
        self._thread.start()

    def write(self, line: str, loud: bool = False) -> None:
        """Prints a line soon; a loud one rings the terminal's bell."""
        with suppress(Full):
            self._lines.put_nowait(("\a" if loud and sys.stdout.isatty() else "") + line)

    def close(self) -> None:
        """Gives what is left half a second to be printed."""
        with suppress(Full):
            self._lines.put_nowait(None)
        self._thread.join(0.5)

    def _print(self) -> None:
        try:
            while (line := self._lines.get()) is not None:
                print(line, flush=True)
        except BaseException as error:  # such as a closed terminal: it must not be relied on
            self._on_error(error)


@contextmanager
def raw(terminal: int) -> Iterator[None]:
    """Keys come one by one while this lasts, where it is a terminal; only Ctrl-C is no key and still interrupts."""
    try:
        before = termios.tcgetattr(terminal)
    except termios.error:
        yield
        return
    try:
        tty.setcbreak(terminal)
        mode = termios.tcgetattr(terminal)
        mode[0] &= ~termios.IXON  # Ctrl-S would hold up what is printed
        for key in (termios.VSUSP, termios.VQUIT):
            mode[6][key] = b"\0"
        termios.tcsetattr(terminal, termios.TCSANOW, mode)
        yield
    finally:
        with suppress(termios.error):  # a terminal that is gone needs no restoring
            termios.tcsetattr(terminal, termios.TCSADRAIN, before)
