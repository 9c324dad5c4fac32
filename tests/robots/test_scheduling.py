"""A process stays in its scheduling class, whatever a library does to it."""

from __future__ import annotations

import os
import sys
import threading

import pytest

from robots.processes.scheduling import Scheduling

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="scheduling classes are Linux's")


def test_every_thread_that_was_put_into_real_time_is_put_back() -> None:
    scheduling, ended = Scheduling(), threading.Event()
    thread = threading.Thread(target=ended.wait)
    thread.start()
    assert thread.native_id is not None
    try:
        for one in (0, thread.native_id):
            os.sched_setscheduler(one, os.SCHED_FIFO, os.sched_param(1))
    except PermissionError:
        pytest.skip("only root may put a thread into real time")
    finally:
        scheduling.restore()
        classes = [os.sched_getscheduler(one) for one in (0, thread.native_id)]
        ended.set()
        thread.join()
    assert set(classes) <= {os.SCHED_OTHER, os.SCHED_BATCH, os.SCHED_IDLE}
