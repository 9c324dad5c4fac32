"""Checks of this computer's clocks: deadlines use the monotonic clock, records use the date."""

from __future__ import annotations

import ctypes
import sys
import time
from collections.abc import Callable

from ferry.doctor.check import CheckFailed, CheckWarning, Machine

DRIFT_S = 0.005
"""Difference between the two clocks, gained in `WATCH_S`, above which the date is being stepped: NTP slews by at most
500 ppm, which is 0.0005 s in a second."""
WATCH_S = 1.0
MAX_ERROR_S = 1.0
"""Error that the kernel estimates for a synchronised clock, above which the date is not trusted."""

SET_NTP = "timedatectl set-ntp true; without a network: chrony, with the policy server as its time server"

_TIMEX_BYTES = 208
"""sizeof(struct timex) on 64 bit Linux (linux/timex.h); maxerror [us] is its fourth word of 8 bytes."""
_UNSYNCHRONISED = 5
"""TIME_ERROR of adjtimex(2)."""


def check_clock(_machine: Machine) -> str:
    """Checks that the monotonic clock, used for every deadline, is fine enough, and that the date is plausible."""
    resolution_s = time.get_clock_info("monotonic").resolution
    if resolution_s > 1e-3:
        raise CheckFailed(f"monotonic clock ticks every {resolution_s} s", "use another kernel clock source")
    year = time.gmtime().tm_year
    if year < 2025:
        raise CheckFailed(f"the date says {year}", f"set the clock: {SET_NTP}")
    return f"monotonic to {resolution_s:g} s"


def check_ntp(_machine: Machine) -> str:
    """Checks that the kernel's clock is synchronised (NTP)."""
    state, error_s = kernel_clock()
    if state == _UNSYNCHRONISED:
        raise CheckWarning("the date is not synchronised (NTP): records of two machines will not match", SET_NTP)
    if error_s > MAX_ERROR_S:
        raise CheckWarning(f"the date may be off by {error_s:.1f} s", SET_NTP)
    return f"synchronised, within {error_s * 1e3:.0f} ms"


def check_drift(_machine: Machine, date_s: Callable[[], float] = time.time) -> str:
    """Checks that nothing steps the date during `WATCH_S`."""
    wall_s, monotonic_s = date_s(), time.monotonic()
    time.sleep(WATCH_S)
    drift_s = (date_s() - wall_s) - (time.monotonic() - monotonic_s)
    if abs(drift_s) > DRIFT_S:
        found = f"the date gained {drift_s * 1e3:+.0f} ms on the monotonic clock in {WATCH_S:.0f} s"
        raise CheckWarning(found, "wait until the clock has settled; two programs may be setting it: chronyc tracking")
    return f"date and monotonic clock agree to {abs(drift_s) * 1e3:.1f} ms in {WATCH_S:.0f} s"


def kernel_clock() -> tuple[int, float]:
    """Returns the kernel's clock state, and its own estimate of the largest error [s] (adjtimex(2), which sets nothing
    here)."""
    timex = ctypes.create_string_buffer(_TIMEX_BYTES)
    state = ctypes.CDLL(None, use_errno=True).adjtimex(timex)
    if state < 0:
        raise CheckWarning(f"the kernel does not report its clock's state (errno {ctypes.get_errno()})", SET_NTP)
    return state, int.from_bytes(timex.raw[24:32], sys.byteorder, signed=True) / 1e6
