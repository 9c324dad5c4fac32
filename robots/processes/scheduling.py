"""Keeps a process in the scheduling class that it is in.

Some libraries change it: SVT-AV1 (4.1, in the wheels of PyAV 18), where root opens an encoder, puts its own threads and
the calling one into SCHED_FIFO. They, and every process that is started later, would then run before everything else
on the computer, a robot's nodes included.
"""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path

THREADS = Path("/proc/self/task")


class Scheduling:
    """Scheduling class of this process at the time when it was made; does nothing where there is no Linux."""

    def __init__(self) -> None:
        if sys.platform == "linux":
            self._policy, self._parameters = os.sched_getscheduler(0), os.sched_getparam(0)

    def restore(self) -> None:
        """Puts every thread of this process that runs in real time back, unless the process did so before."""
        if sys.platform != "linux" or is_real_time(self._policy):
            return
        for thread in map(int, os.listdir(THREADS)):
            with contextlib.suppress(ProcessLookupError):  # it has just ended
                if is_real_time(os.sched_getscheduler(thread)):
                    os.sched_setscheduler(thread, self._policy, self._parameters)


def is_real_time(policy: int) -> bool:
    """Whether a scheduling class runs before every ordinary one."""
    return policy & ~os.SCHED_RESET_ON_FORK in (os.SCHED_FIFO, os.SCHED_RR)
