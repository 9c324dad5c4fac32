"""A robot in this process: a twin, a fake or a driver, with the runner that every evaluation uses."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as Late
from contextlib import suppress
from types import TracebackType

from evaluation.operator.rig import Halt, Served, Setting
from evaluation.runner import Runner
from evaluation.step import RunEnd, Step
from policy_server.policies import open_policy
from robots.embodiment import Embodiment
from robots.errors import RobotError
from robots.robot import Robot
from robots.spec import U8Image

LOOK_S = 5.0


class InProcessRig:
    """A robot in this process.

    Everything that may render runs in one thread of its own; stops come from any thread.

    Args:
        robot: the robot.
        reset: puts a twin at the start of a trial; a real robot needs none.
        name: in messages.
        ended: called with each trial and its end, in the robot's thread; for a judge that knows the truth.
    """

    def __init__(
        self,
        robot: Robot,
        reset: Callable[[Setting], object] = lambda setting: None,
        *,
        name: str = "robot",
        ended: Callable[[Setting, RunEnd], object] = lambda setting, end: None,
    ) -> None:
        self.name, self.cameras = name, tuple(camera.name for camera in robot.spec.cameras)
        self._robot, self._reset, self._ended = robot, reset, ended
        self._thread = ThreadPoolExecutor(1, "robot")
        self._lock = threading.Lock()
        self._runner: Runner | None = None
        self._running = False
        self._halt, self._ending, self._served = Halt(), "", Served("")
        self._seen: Mapping[str, U8Image] = {}
        self._looking: Future[Mapping[str, U8Image]] | None = None

    @property
    def embodiment(self) -> Embodiment:
        """The robot's embodiment."""
        return self._robot.spec

    @property
    def halt(self) -> Halt:
        """The emergency stop."""
        return self._halt

    @property
    def record(self) -> str:
        """Nothing is recorded here."""
        return ""

    def use(self, served: Served) -> None:
        """Takes the policy's address."""
        self._served = served

    def prepare(self, setting: Setting) -> None:
        """Puts a twin at the start of a trial; RobotError if there is no such start."""
        self._thread.submit(self._reset, setting).result()
        self._seen = {}

    def run(self, setting: Setting) -> RunEnd:
        """Runs a trial; RobotError while the emergency stop is on."""
        with self._lock:
            if self._halt.pressed:
                raise RobotError(f"{self.name}: the emergency stop is on ({self._halt.why}); clear it first")
            self._running, self._ending = True, ""
        try:
            return self._thread.submit(self._episode, setting).result()
        finally:
            with self._lock:
                self._running = False

    def end(self, why: str) -> None:
        """Ends a running trial."""
        with self._lock:
            runner, self._ending = self._runner, why
        if runner:
            runner.interrupt(why)

    def stop(self, why: str) -> None:
        """Stops the robot; nothing moves until it is cleared."""
        with self._lock:
            why = self._halt.why or why
            runner, self._halt = self._runner, Halt(True, False, why)
        if runner:
            runner.interrupt(f"emergency stop: {why}")
        self._robot.stop()
        with self._lock:
            if self._halt.pressed:
                self._halt = Halt(True, True, why)

    def clear(self) -> None:
        """Clears the stop."""
        with self._lock:
            self._halt = Halt()

    def image(self, camera: str) -> U8Image | None:
        """Returns the newest image; None without one."""
        if not self._running:
            with self._lock:  # one look at a time, for all who ask
                if self._looking is None or self._looking.done():
                    self._looking = self._thread.submit(self._look)
                looking = self._looking
            with suppress(Late, RobotError, RuntimeError):  # a twin that was not reset yet shows nothing
                self._seen = looking.result(LOOK_S)
        return self._seen.get(camera)

    def on_start(self) -> None:
        """Subscriber of a run: does nothing at the start."""

    def on_step(self, step: Step) -> None:
        """Subscriber of a run: keeps the images."""
        self._seen = step.observation.images

    def on_end(self, end: RunEnd) -> None:
        """Subscriber of a run: does nothing at the end."""

    def __enter__(self) -> InProcessRig:
        self._thread.submit(self._robot.__enter__).result()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end("the evaluation ended")
        self._thread.submit(self._robot.__exit__, kind, error, trace).result()
        self._thread.shutdown()

    def _look(self) -> Mapping[str, U8Image]:
        return self._seen if self._running else self._robot.observe().images

    def _episode(self, setting: Setting) -> RunEnd:
        with open_policy(self._served.url, token=self._served.token) as policy:
            opened = policy.open(self._robot.spec, setting.instruction, seed=setting.seed)
            with opened as session:
                runner = Runner(self._robot, session, subscribers=[self])
                with self._lock:
                    self._runner, ending = runner, self._halt.why or self._ending
                try:
                    if ending:
                        runner.interrupt(ending)
                    end = runner.run()
                finally:
                    with self._lock:
                        self._runner = None
        self._ended(setting, end)
        return end
