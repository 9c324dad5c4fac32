"""The parts of a fake `pyrobot.Robot`, with PyRobot's names and signatures (src/pyrobot/core.py, src/pyrobot/locobot).

Kinematic and exact. What a driver must not trust is as it is on the robot: a base that drives on for 2 s after its last
command, event flags that are never cleared, a release reported as a press, values without stamps.
"""

from __future__ import annotations

import math
import threading
import time
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from robots.spec import U8Image

FORWARD_MPS, TURN_RADPS = 0.2, 0.5  # MAX_ABS_FWD_SPEED, MAX_ABS_TURN_SPEED (locobot_config.py): set_vel clips to them
PAN_RAD, TILT_RAD = (-2.7, 2.6), (-1.4, 1.75)  # MIN_PAN .. MAX_TILT (locobot_config.py)
SPEED_UP, SLOW_DOWN = (0.5, 3.5), (0.6, 4.2)  # [m/s^2], [rad/s^2]: kobuki_driver acceleration_limiter.hpp
TIMEOUT_S = 2.0  # cmd_vel_timeout_sec of Interbotix' kobuki_node_params.yaml
CONTROL_RATE_HZ = 10.0  # BASE_CONTROL_RATE (locobot_config.py)
FOCAL_PX = 620.0  # fx and fy at 640 x 480 (orb_slam2_ros/cfg/realsense_d435.yaml)
FRONT_M = 0.178  # radius of a Kobuki
WALLS = np.array([[200, 60, 60], [60, 180, 60], [60, 60, 200], [200, 180, 60]], dtype=np.uint8)
"""RGB of the wall ahead at yaw 0, 90, 180 and 270 degrees."""


@dataclass(frozen=True)
class FakeOptions:
    """Options and faults of the fake; every fault is off by default.

    Attributes:
        latency_s: from a command to its effect.
        arena_m: half the side of the square it may drive in; its walls press the bumper.
        rate_hz: odometry and joint states.
        frame_hz: camera images.
        head_radps: speed of the pan and tilt motors.
        height: of the camera's images, pixels.
        width: of the camera's images, pixels.
        cliff_after_m: a cliff event after this distance; 0 for none.
        freeze_camera_after_s: no new image from then on; 0 for never.
        repeat_image_after_s: its driver delivers the same image again and again from then on; 0 for never.
        freeze_odometry_after_s: the same for odometry.
    """

    latency_s: float = 0.03
    arena_m: float = 2.0
    rate_hz: float = 50.0
    frame_hz: float = 30.0
    head_radps: float = 0.24
    height: int = 480
    width: int = 640
    cliff_after_m: float = 0.0
    freeze_camera_after_s: float = 0.0
    repeat_image_after_s: float = 0.0
    freeze_odometry_after_s: float = 0.0


class XYTState:
    """Value of `base_state.state`; a new object for each odometry message."""

    def __init__(self, x: float, y: float, theta: float) -> None:
        self.x, self.y, self.theta = x, y, theta


class BaseState:
    """Odometry, and flags that only ever get set."""

    def __init__(self) -> None:
        self.state: XYTState | None = None
        self.should_stop = self.bumper = self.cliff = self.wheel_drop = False


@dataclass
class Body:
    """The truth: pose, speeds [m/s, rad/s], head, and what was commanded; the odometry is off by
    `misread_m` and `misread_rad`."""

    options: FakeOptions
    pose: tuple[float, float, float] = (0.0, 0.0, 0.0)
    speed: tuple[float, float] = (0.0, 0.0)
    head: tuple[float, float] = (0.0, 0.0)
    head_goal: tuple[float, float] = (0.0, 0.0)
    way_m: float = 0.0
    pressed: bool = False
    misread_m: float = 0.0
    misread_rad: float = 0.0
    lock: threading.Lock = field(default_factory=threading.Lock)
    _commands: list[tuple[float, tuple[float, float]]] = field(default_factory=list)
    _wanted: tuple[float, float] = (0.0, 0.0)
    _heard_s: float = -math.inf

    def command(self, forward: float, turn: float) -> None:
        """Takes a velocity; it has effect `latency_s` later."""
        with self.lock:
            self._commands.append((time.monotonic() + self.options.latency_s, (forward, turn)))

    @property
    def commanded(self) -> tuple[float, float]:
        """The velocity that the base follows now."""
        return self._wanted

    def advance(self, dt_s: float) -> bool:
        """Moves for `dt_s`; True when the bumper was pressed or released."""
        with self.lock:
            now_s = time.monotonic()
            while self._commands and self._commands[0][0] <= now_s:
                self._heard_s, self._wanted = self._commands.pop(0)
            if now_s - self._heard_s > TIMEOUT_S:
                self._wanted = (0.0, 0.0)
            self.speed = tuple(_towards(v, w, up * dt_s, down * dt_s) for v, w, up, down in
                               zip(self.speed, self._wanted, SPEED_UP, SLOW_DOWN))  # type: ignore[assignment]  # fmt: skip
            reach = self.options.head_radps * dt_s
            pan, tilt = (_towards(a, b, reach, reach) for a, b in zip(self.head, self.head_goal))
            self.head = pan, tilt
            return self._drive(dt_s)

    def _drive(self, dt_s: float) -> bool:
        x, y, yaw = self.pose
        step, inside = self.speed[0] * dt_s, self.options.arena_m - FRONT_M
        yaw = math.remainder(yaw + self.speed[1] * dt_s, 2 * math.pi)
        end = x + step * math.cos(yaw), y + step * math.sin(yaw)
        met = max(abs(end[0]), abs(end[1])) > inside
        if met:
            end, self.speed = (x, y), (0.0, self.speed[1])
        self.pose = (*end, yaw)
        self.way_m += 0.0 if met else abs(step)
        ahead = (x + 0.01 * math.cos(yaw), y + 0.01 * math.sin(yaw))
        before, self.pressed = self.pressed, max(abs(ahead[0]), abs(ahead[1])) > inside
        return before != self.pressed


class Base:
    """`pyrobot.Robot.base`."""

    def __init__(self, body: Body) -> None:
        self._body, self.base_state = body, BaseState()

    def set_vel(self, fwd_speed: float, turn_speed: float, exe_time: float = 1) -> None:
        """Publishes a velocity for `exe_time` and returns; no stop follows."""
        forward = min(max(fwd_speed, -FORWARD_MPS), FORWARD_MPS)
        turn = min(max(turn_speed, -TURN_RADPS), TURN_RADPS)
        began_s = time.monotonic()
        self._body.command(forward, turn)
        while time.monotonic() - began_s < exe_time:
            self._body.command(forward, turn)
            time.sleep(1.0 / CONTROL_RATE_HZ)

    def stop(self) -> None:
        """Publishes zero, once."""
        self._body.command(0.0, 0.0)

    def get_state(self, state_type: str) -> list[float]:
        """[x, y, yaw] by odometry."""
        assert state_type == "odom", "the fake has no SLAM"
        state = self.base_state.state
        assert state is not None, "Odometry callback hasn't been called."
        return [state.x, state.y, state.theta]


class Camera:
    """`pyrobot.Robot.camera`; tilt counts downwards."""

    def __init__(self, body: Body) -> None:
        self._body = body
        self.pan: float | None = None
        self.tilt: float | None = None
        self.rgb_img: U8Image | None = None
        self.camera_img_lock = threading.RLock()
        self._count = 0

    def get_pan(self) -> float | None:
        """Pan [rad], None before the first joint states."""
        return self.pan

    def get_tilt(self) -> float | None:
        """Tilt [rad]."""
        return self.tilt

    def set_pan(self, pan: float, wait: bool = True) -> None:
        """Turns the camera."""
        self.set_pan_tilt(pan, self._body.head_goal[1], wait)

    def set_tilt(self, tilt: float, wait: bool = True) -> None:
        """Tilts the camera."""
        self.set_pan_tilt(self._body.head_goal[0], tilt, wait)

    def set_pan_tilt(self, pan: float, tilt: float, wait: bool = True) -> None:
        """Both at once; wrapped, then clipped, as PyRobot does it."""
        goal = _wrapped(pan, PAN_RAD), _wrapped(tilt, TILT_RAD)
        self._body.head_goal = goal
        for _ in range(30 if wait else 0):
            time.sleep(0.1)
            if max(abs(a - b) for a, b in zip(self._body.head, goal)) < 0.01:
                break

    def reset(self) -> None:
        """Looks straight ahead."""
        self.set_pan_tilt(0.0, 0.0)

    def get_rgb(self) -> U8Image | None:
        """(height, width, 3) uint8 RGB, None before the first image."""
        with self.camera_img_lock:
            return None if self.rgb_img is None else self.rgb_img.copy()

    def get_intrinsics(self) -> npt.NDArray[np.float64]:
        """(3, 3) camera matrix."""
        options = self._body.options
        focal = FOCAL_PX * options.height / 480
        return np.array([[focal, 0, options.width / 2], [0, focal, options.height / 2], [0, 0, 1]])

    def take(self) -> None:
        """Renders a new image, as the driver's callback stores it: coloured walls above a floor.

        The first rows count, like noise in a camera.
        """
        options, (pan, tilt), yaw = self._body.options, self._body.head, self._body.pose[2]
        focal = FOCAL_PX * options.height / 480
        bearings = yaw + pan - np.arctan((np.arange(options.width) - options.width / 2) / focal)
        row = WALLS[np.round(bearings / (math.pi / 2)).astype(int) % 4]
        horizon = int(np.clip(options.height / 2 - focal * math.tan(tilt), 0, options.height))
        image = np.full((options.height, options.width, 3), 90, np.uint8)
        image[:horizon] = row
        self._count += 1
        image[: max(1, options.height // 90)] = 1 + self._count % 63
        with self.camera_img_lock:
            self.rgb_img = image

    def repeat(self) -> None:
        """Stores a copy of the last image, as a driver that hangs publishes it."""
        with self.camera_img_lock:
            self.rgb_img = None if self.rgb_img is None else self.rgb_img.copy()


def _towards(value: float, goal: float, faster: float, slower: float) -> float:
    most = faster if abs(goal) > abs(value) else slower
    return value + max(-most, min(most, goal - value))


def _wrapped(angle: float, limits: tuple[float, float]) -> float:
    angle = (angle + math.pi) % (2 * math.pi) - math.pi
    return min(max(angle, limits[0]), limits[1])
