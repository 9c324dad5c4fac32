"""The arms: how each is started, brought back, and what is heard of its first joint."""

from __future__ import annotations

import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.arms.joins.trace import F64, Trace
from robots.arms.running_plan import RunningPlan
from robots.command import JointTarget
from robots.spec import VectorSpec

sys.path.append(str(Path(__file__).parents[3] / "tests" / "support"))

TRIES = 5
"""Motions back to where a run begins."""

TRAVEL_RAD, SWING = 1.2, 0.5
"""Way of the first joint in a run, and by which fraction its speed rises and falls around the mean."""


@dataclass
class Arm:
    """One arm.

    Attributes:
        robot: driver or twin, not connected.
        vector: the chunks of joint positions.
        running: returns the plan that it follows, once connected.
        measured: returns when and where its first joint was measured last.
        reset: brings a twin back; None: by a motion.
        start: where its joints began [rad].
        renewed: whether the driver sends a plan in parts and shifts its clock to where the arm has come: its plans do
            not tell then what the controller makes of a join.
    """

    robot: Any
    vector: VectorSpec
    running: Callable[[], RunningPlan]
    measured: Callable[[], tuple[float, float]]
    reset: Callable[[], None] | None = None
    start: tuple[float, ...] = ()
    renewed: bool = False

    def home(self) -> None:
        """Brings it to where it began."""
        if self.reset is not None:
            return self.reset()
        with self.robot as robot:
            here = tuple(robot.observe().state["joints"].tolist())
            self.start = self.start or here
            wanted = dict(zip(robot.spec.state["joints"].names, self.start))
            arm = tuple(name for name in wanted if "gripper" not in name)
            target = JointTarget(arm, tuple(wanted[name] for name in arm), 0.5)
            tries = [robot.execute(target)]
            while not tries[-1].executed and len(tries) < TRIES:  # a busy machine is too late for a motion
                tries.append(robot.execute(target))
            assert tries[-1].executed, tries
        return None

    @contextmanager
    def traced(self) -> Iterator[Trace]:
        """Notes the plans, and samples the measured joint in a thread of its own; the arm is connected."""
        trace, ended = Trace(), threading.Event()

        def listen() -> None:
            while not ended.wait(0.005):
                at = self.measured()
                if not trace.measured or at[0] > trace.measured[-1][0]:
                    trace.measured.append(at)

        thread, end = threading.Thread(target=listen), trace.watch(self.running())
        thread.start()
        try:
            yield trace
        finally:
            ended.set()
            thread.join()
            end()


def path(since_s: npt.ArrayLike, speed: float) -> F64:
    """Way of the first joint after so long [rad]: from rest, then at `speed`, now faster and now slower."""
    t = np.maximum(np.asarray(since_s, dtype=np.float64), 0.0)
    begin = np.where(t < 1.0, t**2 / 2, t - 0.5)  # it takes a second to get under way
    return np.asarray(speed * (begin - SWING / 2 * np.where(t < 1.0, 0.0, np.cos(2 * (t - 1.0)) - 1.0)))


@contextmanager
def piper_twin() -> Iterator[Arm]:
    """The simulated Piper, in real time."""
    from simulation.tabletop.piper_twin import PiperTwin, PiperTwinOptions

    twin = PiperTwin(PiperTwinOptions(60, 80, real_time=True))
    vector = next(one for one in twin.spec.chunks if "joint1" in one.names)

    def measured() -> tuple[float, float]:
        return twin._motion.now_s, float(twin.scene.positions[0])

    yield Arm(twin, vector, lambda: twin._motion.running, measured, lambda: twin.reset(twin.draw(0)))


@contextmanager
def piper() -> Iterator[Arm]:
    """The Piper's driver, and its fake on a CAN bus."""
    from piper_bus import FakeProcess

    from robots.drivers.piper.driver import PiperRobot

    with FakeProcess() as fake:
        robot: Any = PiperRobot(fake.options(speed=1.0))

        def measured() -> tuple[float, float]:
            return robot._link.stamp_ns / 1e9, float(robot._link.positions()[0])

        yield Arm(robot, robot.spec.chunks[0], lambda: robot._motion._running, measured)


@contextmanager
def ros2_control_arm() -> Iterator[Arm]:
    """A UR5e behind ros2_control, and the fake of its controllers."""
    import rclpy
    from fake_arm import fake_arm
    from rclpy.utilities import try_shutdown

    with ExitStack() as stack:
        rclpy.init()
        stack.callback(try_shutdown)
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        robot: Any = stack.enter_context(fake_arm(folder, rate_hz=125.0)).robot(camera_topic="")
        vector = next(one for one in robot.spec.chunks if "shoulder_pan_joint" in one.names)

        def measured() -> tuple[float, float]:
            return robot._link.feedback.stamp_ns / 1e9, float(next(iter(robot._link.positions().values())))

        yield Arm(robot, vector, lambda: robot._motion._running, measured, renewed=True)


ARMS: dict[str, Callable[[], AbstractContextManager[Arm]]] = {
    "piper_twin": piper_twin,
    "piper": piper,
    "ros2_control_arm": ros2_control_arm,
}
