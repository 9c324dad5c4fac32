"""Chooses MuJoCo's off-screen OpenGL back-end and keeps one context per thread; import this before ``mujoco``.

MuJoCo reads ``MUJOCO_GL`` once, while it is imported. EGL needs no display, so it is the default here; a value that the
user has set is left alone. The same holds for ``LP_NUM_THREADS``: Mesa's software driver draws in the calling thread,
because simulations run one process per core (its own threads cost 3 to 10 % on a quiet machine, more on a busy one).
"""

from __future__ import annotations

import atexit
import os
import threading
import weakref

from simulation.errors import NoDisplayDriver

os.environ.setdefault("MUJOCO_GL", "egl")
os.environ.setdefault("LP_NUM_THREADS", "0")

try:
    import mujoco
except ModuleNotFoundError:
    raise
except (AttributeError, ImportError, OSError, RuntimeError) as error:  # MuJoCo's symptoms of a missing libEGL
    raise NoDisplayDriver(os.environ["MUJOCO_GL"], error) from error

_here = threading.local()
_living: weakref.WeakSet[mujoco.GLContext] = weakref.WeakSet()
_failures: list[NoDisplayDriver] = []
"""The first failure: a second attempt in a library that has failed may abort the process (GLFW without a display)."""


def make_current() -> None:
    """Makes this thread's OpenGL context current; the first call creates it, and all renderers of the thread share it.

    A process must not be forked once it has rendered: start workers with ``spawn`` or ``forkserver``.

    Raises:
        NoDisplayDriver: there is no OpenGL driver.
    """
    if not hasattr(_here, "context"):
        _here.context = _new_context()
    _here.context.make_current()


def _new_context() -> mujoco.GLContext:
    if _failures:
        raise _failures[0]
    try:
        context = mujoco.GLContext(1, 1)
        context.make_current()
        mujoco.MjrContext(
            mujoco.MjSpec().compile(), mujoco.mjtFontScale.mjFONTSCALE_50
        ).free()  # a driver may fail here
    except (AttributeError, ImportError, OSError, RuntimeError, mujoco.FatalError) as error:
        _failures.append(NoDisplayDriver(os.environ["MUJOCO_GL"], error))
        raise _failures[0] from error
    if not _living:
        atexit.register(_free_all)  # runs before MuJoCo's own handler, which closes the display
    _living.add(context)
    return context


def _free_all() -> None:
    for context in _living:
        context.free()
