"""A Piper that is exactly where its plan says, for tests of the executor: no physics, no images, never suspended."""

from __future__ import annotations

import threading
import time
from dataclasses import replace

import numpy as np

from robots.arms.planner import ArmPlanner, Refused
from robots.arms.running_plan import RunningPlan
from robots.command import Chunk, Command, Done, Stop
from robots.embodiment import Embodiment
from robots.embodiments.piper import ACCELERATION_RADPS2, HOME_RAD, PIPER
from robots.embodiments.piper_urdf import ARM
from robots.limits import limit
from robots.observation import Observation
from robots.robot import Connected, Sent

SPEC: Embodiment = replace(
    PIPER, cameras=(), workspace=None, chunks=PIPER.chunks[:1], state={"joints": PIPER.state["joints"]}
)
"""It takes chunks of joint positions alone."""


class PlannedArm(Connected):
    """The arm; `at` are its joints and aperture, (7,)."""

    def __init__(self) -> None:
        self.spec = SPEC
        self._planner = ArmPlanner(SPEC, ARM, None, ACCELERATION_RADPS2)
        self._running, self._stopped = RunningPlan(), threading.Event()
        self._stood = np.array([*HOME_RAD, 0.02])

    @property
    def at(self) -> np.typing.NDArray[np.float64]:
        with self._running.lock:
            if self._running.active and not self._stopped.is_set():
                plan, began_s = self._running.state()
                self._stood = plan.row(self._stood, time.monotonic() - began_s)
            return self._stood.copy()

    def connect(self) -> None:
        """Nothing to connect."""

    def disconnect(self) -> None:
        """Nothing to disconnect."""

    def observe(self) -> Observation:
        """Its joints now."""
        with self._running.lock:
            return Observation(time.monotonic_ns(), {}, {"joints": self.at.astype(np.float32)})

    def execute(self, command: Command) -> Sent:
        """Follows the plan until its end or a stop."""
        self._stopped.clear()
        here = dict(zip(SPEC.joints, self.at.tolist()))
        sent = limit(command, SPEC, here)
        if sent.refused or isinstance(command, (Done, Stop)):
            return sent
        try:
            plan = self._planner.plan(sent.command, here)
        except Refused as refusal:
            return replace(sent, refused=str(refusal))
        self._running.begin(plan, isinstance(command, Chunk) and command.joins)
        while not self._stopped.wait(0.005) and self._running.elapsed_s() < self._running.plan.duration_s:
            pass
        _ = self.at
        self._running.end()
        return replace(sent, blocked="stopped" if self._stopped.is_set() else "")

    @property
    def following(self) -> bool:
        """Whether a chunk runs that another may be joined on to."""
        return self._running.open

    def join(self, chunk: Chunk, sensed_ns: int) -> Sent:
        """As every arm."""
        return self._running.join(self._planner, chunk, sensed_ns / 1e9)

    def stop(self) -> None:
        """Stands at once."""
        with self._running.lock:
            _ = self.at
            self._stopped.set()
            self._running.close()
