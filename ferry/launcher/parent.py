"""Child processes that do not outlive their parent."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from functools import partial

from robots.processes.child import signal_with_parent


def end_with_parent() -> Callable[[], None]:
    """Returns a `preexec_fn`: the child asks the kernel for SIGTERM when its parent dies, however it dies.

    SIGTERM and not SIGKILL, so that a robot node still stops its robot.
    """
    return partial(signal_with_parent, os.getpid(), signal.SIGTERM)
