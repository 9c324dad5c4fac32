"""A LoCoBot behind PyRobot, without ROS: served by `python -m robots.fakes.pyrobot.process`.

The server is the real one (robots/drivers/pyrobot/pyrobot_server); what it imports as `pyrobot` on a robot is this.
"""

from __future__ import annotations

import argparse
import json
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from robots.drivers.pyrobot.pyrobot_server.server import serve
from robots.fakes.pyrobot.arm import Arm, Gripper
from robots.fakes.pyrobot.parts import Base, Body, Camera, FakeOptions, XYTState


class Robot:
    """Fake of `pyrobot.Robot("locobot")`.

    Attributes:
        base: motions and odometry.
        camera: moves and sees.
        arm: five joints; present with `use_arm`.
        gripper: opens and closes; present with `use_gripper` too.
        body: the truth, for tests.
    """

    def __init__(
        self,
        robot_name: str = "locobot",
        use_arm: bool = True,
        use_base: bool = True,
        use_camera: bool = True,
        use_gripper: bool = True,
        options: FakeOptions | None = None,
        trace: IO[str] | None = None,
    ) -> None:
        if "locobot" not in robot_name:
            raise ValueError("Invalid robot name provided, only the following are currently available: ['locobot']")
        self.options, self._trace = options or FakeOptions(), trace
        self.body = Body(self.options)
        self.base, self.camera = Base(self.body), Camera(self.body)
        if use_arm:
            self.arm = Arm()
        if use_arm and use_gripper:
            self.gripper = Gripper()
        self._began_s, self._ended = time.monotonic(), threading.Event()
        threading.Thread(target=self._live, name="pyrobot", daemon=True).start()

    def end(self) -> None:
        """Switches it off."""
        self._ended.set()

    def _live(self) -> None:
        last_s, image_s = time.monotonic(), 0.0
        while not self._ended.wait(1.0 / self.options.rate_hz):
            now_s = time.monotonic()
            touched = self.body.advance(now_s - last_s)
            last_s = now_s
            self._tell(touched, now_s - self._began_s)
            since_s = now_s - self._began_s
            if now_s - image_s > 1.0 / self.options.frame_hz and not _past(self.options.freeze_camera_after_s, since_s):
                repeats = _past(self.options.repeat_image_after_s, since_s)
                (self.camera.repeat if repeats else self.camera.take)()
                image_s = now_s
            if self._trace is not None:
                self._write(self._trace, now_s)

    def _tell(self, touched: bool, since_s: float) -> None:
        """Updates the robot's topics."""
        state, cliff_m = self.base.base_state, self.options.cliff_after_m
        if not _past(self.options.freeze_odometry_after_s, since_s):
            x, y, yaw = self.body.pose
            state.state = XYTState(x + self.body.misread_m, y, yaw + self.body.misread_rad)
        self.camera.pan, self.camera.tilt = self.body.head
        if touched:  # pressed or released: PyRobot reports both alike
            state.bumper = state.should_stop = True
        if cliff_m and self.body.way_m > cliff_m:
            state.cliff = state.should_stop = True

    def _write(self, trace: IO[str], now_s: float) -> None:
        line = {"at_s": now_s, "pose": self.body.pose, "speed": self.body.speed, "commanded": self.body.commanded}
        trace.write(json.dumps({**line, "head": self.body.head}) + "\n")
        trace.flush()


def _past(after_s: float, since_s: float) -> bool:
    return 0 < after_s < since_s


def main(argv: Sequence[str] | None = None) -> int:
    """Serves a fake LoCoBot until SIGTERM or SIGINT."""
    defaults = FakeOptions()
    parser = argparse.ArgumentParser(prog="ferry fake pyrobot", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=7077, help="0 for any free one")
    parser.add_argument("--trace", type=Path, help="write what the body does, one JSON line each 20 ms")
    for name, value in vars(defaults).items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(value), default=value, help=f"default {value}")
    arguments = parser.parse_args(argv)
    options = FakeOptions(**{name: getattr(arguments, name) for name in vars(defaults)})
    trace = arguments.trace.open("w") if arguments.trace else None
    robot = Robot(options=options, trace=trace)
    return serve(robot, arguments.host, arguments.port, lambda address: print(f"ready {address}", flush=True))


if __name__ == "__main__":
    sys.exit(main())
