"""The arms: how each is started, brought back, and what is heard of its first joint."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from joins.trace import F64, Trace
from robots.command import JointTarget
from robots.spec import VectorSpec

sys.path.append(str(Path(__file__).parents[2] / "tests" / "support"))

AMPLITUDE_RAD, RATE_RADPS = 0.25, 1.5


@dataclass
class Arm:
    """One arm.

    Attributes:
        robot: driver or twin, not connected.
        vector: the chunks of joint positions.
        commanded: returns the time and what the first joint is commanded then; called often.
        measured: likewise, where it is.
        reset: brings a twin back; None: by a motion.
    """

    robot: Any
    vector: VectorSpec
    commanded: Callable[[], tuple[float, float]]
    measured: Callable[[], tuple[float, float]]
    reset: Callable[[], None] | None = None
    start: tuple[float, ...] = ()

    @property
    def top_speed(self) -> float:
        """Of the wave [rad/s]."""
        return AMPLITUDE_RAD * RATE_RADPS

    def wave(self, since_s: F64) -> F64:
        """The way of the first joint after so long [rad]; it begins at rest."""
        fade = np.clip(since_s, 0.0, 1.0)
        return np.asarray(AMPLITUDE_RAD * fade**2 * (3 - 2 * fade) * np.sin(RATE_RADPS * since_s))

    def home(self) -> None:
        """Brings it to where it began."""
        if self.reset is not None:
            return self.reset()
        with self.robot as robot:
            here = tuple(robot.observe().state["joints"].tolist())
            self.start = self.start or here
            names = robot.spec.state["joints"].names
            wanted = dict(zip(names, self.start))
            arm = tuple(name for name in names if "gripper" not in name)
            sent = robot.execute(JointTarget(arm, tuple(wanted[name] for name in arm), 0.5))
            assert sent.executed, sent
        return None

    @contextmanager
    def traced(self) -> Iterator[Trace]:
        """Samples both at 200 Hz in a thread of its own."""
        trace, ended = Trace(), threading.Event()

        def listen() -> None:
            while not ended.wait(0.005):
                for heard, told in ((trace.commanded, self.commanded), (trace.measured, self.measured)):
                    at = told()
                    if not heard or at[0] > heard[-1][0]:
                        heard.append(at)

        thread = threading.Thread(target=listen)
        thread.start()
        try:
            yield trace
        finally:
            ended.set()
            thread.join()


def planned(running: Any, otherwise: Callable[[], tuple[float, float]]) -> tuple[float, float]:
    """What the plan that runs asks of the first joint now."""
    with running.lock:
        if running.active and running.plan.arm is not None:
            at = running.elapsed_s()
            return running.began_s + at, float(running.plan.arm.at(at)[0])
    return otherwise()


@contextmanager
def piper_twin() -> Iterator[Arm]:
    """The simulated Piper, in real time."""
    from simulation.tabletop.piper_twin import PiperTwin, PiperTwinOptions

    twin = PiperTwin(PiperTwinOptions(60, 80, real_time=True))
    last = [0.0]

    def measured() -> tuple[float, float]:
        return time.monotonic(), float(twin._positions()[0])

    def commanded() -> tuple[float, float]:
        return planned(twin._running, lambda: (time.monotonic(), float(twin._told[0])))

    vector = next(one for one in twin.spec.chunks if "joint1" in one.names)
    last[0] = 0.0
    yield Arm(twin, vector, commanded, measured, lambda: twin.reset(0))


@contextmanager
def piper() -> Iterator[Arm]:
    """The Piper's driver, and its fake on a CAN bus."""
    from piper_bus import FakeProcess

    from robots.drivers.piper.driver import PiperRobot

    with FakeProcess() as fake:
        robot = PiperRobot(fake.options(speed=1.0))

        def measured() -> tuple[float, float]:
            link = robot._link
            return (link.stamp_ns / 1e9, float(link.positions()[0])) if link else (0.0, 0.0)

        def commanded() -> tuple[float, float]:
            motion = robot._motion
            return planned(motion._running, measured) if motion else (0.0, 0.0)

        yield Arm(robot, robot.spec.chunks[0], commanded, measured)


@contextmanager
def ros2_control_arm() -> Iterator[Arm]:
    """A UR5e behind ros2_control, and the fake of its controllers."""
    import tempfile

    import rclpy
    from fake_arm import fake_arm

    from robots.embodiments.ros2_control_arms import UR5E

    with ExitStack() as stack:
        rclpy.init()
        stack.callback(rclpy.try_shutdown)
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        fake = stack.enter_context(fake_arm(folder, rate_hz=125.0))
        robot = fake.robot(camera_topic="")
        first = next(iter(UR5E.joints))

        def measured() -> tuple[float, float]:
            link = robot._link
            return (link.feedback.stamp_ns / 1e9, float(link.positions()[first])) if link else (0.0, 0.0)

        def commanded() -> tuple[float, float]:
            motion = robot._motion
            return planned(motion._running, measured) if motion else (0.0, 0.0)

        vector = next(one for one in robot.spec.chunks if first in one.names)
        yield Arm(robot, vector, commanded, measured)


ARMS: dict[str, Callable[[], AbstractContextManager[Arm]]] = {
    "piper_twin": piper_twin,
    "piper": piper,
    "ros2_control_arm": ros2_control_arm,
}
