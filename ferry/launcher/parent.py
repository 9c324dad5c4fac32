"""Children that do not outlive the process that started them."""

from __future__ import annotations

import ctypes
import os
import signal
from collections.abc import Callable

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True)


def end_with_parent() -> Callable[[], None]:
    """Returns a `preexec_fn`: the child asks the kernel for SIGTERM when its parent dies, however that happens.

    SIGTERM and not SIGKILL, so that a robot node still stops its robot.
    """
    parent = os.getpid()

    def ask() -> None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:
            os._exit(1)

    return ask
