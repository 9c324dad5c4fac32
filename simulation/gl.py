"""Chooses MuJoCo's off-screen OpenGL back-end and keeps the process's one context; import this before ``mujoco``.

MuJoCo reads ``MUJOCO_GL`` once, while it is imported. EGL needs no display, so it is the default here; a value that the
user has set is left alone.
"""

from __future__ import annotations

import os

from simulation.errors import SimulationError

os.environ.setdefault("MUJOCO_GL", "egl")


class NoDisplayDriver(SimulationError):
    """This machine has no OpenGL driver that draws without a display."""

    def __init__(self, cause: object) -> None:
        backend = os.environ["MUJOCO_GL"]
        super().__init__(
            f"no off-screen OpenGL driver for MUJOCO_GL={backend} ({cause}): run `apt-get install -y libegl1"
            " libgl1-mesa-dri` and set MUJOCO_GL=egl"
        )


try:
    import mujoco
except ModuleNotFoundError:
    raise
except (AttributeError, ImportError, OSError, RuntimeError) as error:  # what a missing libEGL looks like from MuJoCo
    raise NoDisplayDriver(error) from error

_context: mujoco.GLContext | None = None


def make_current() -> None:
    """Makes the process's OpenGL context current in this thread, creating it the first time.

    A process must not be forked once it has drawn: start workers with ``spawn`` or ``forkserver``.

    Raises:
        NoDisplayDriver: there is no driver.
    """
    global _context  # one per process: creating one costs more than a house
    if _context is None:
        try:
            _context = mujoco.GLContext(1, 1)
        except (AttributeError, ImportError, OSError, RuntimeError, mujoco.FatalError) as error:
            raise NoDisplayDriver(error) from error
    _context.make_current()
