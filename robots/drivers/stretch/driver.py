"""The real Stretch RE1 through its vendor's SDK, stretch_body, in the robot's own computer.

Whatever moves has been homed before (`stretch_robot_home.py`): nothing moves while a joint does not know its zero.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from robots.cameras.camera import Camera, CameraOptions
from robots.cameras.letterbox import letterbox
from robots.cameras.sources import source
from robots.command import (
    Command,
    Done,
    Grasp,
    JointTarget,
    LookAt,
    MoveBase,
    MoveJoint,
    Release,
    RotateBase,
    SetGripper,
    Stop,
)
from robots.drivers.stretch import sdk
from robots.drivers.stretch.grasp import Grip
from robots.drivers.stretch.motion import Motion, MotionOptions
from robots.drivers.stretch.status import SERVO_JOINTS, Reader, Status, servo_fault
from robots.drivers.stretch.watchdog import WheelWatchdog
from robots.embodiment import Embodiment
from robots.embodiments.stretch_re1 import STRETCH_RE1
from robots.errors import ConnectionFailed, NotConnected, RobotError
from robots.limits import limit
from robots.observation import Observation
from robots.processes.lock import Lock, claim
from robots.robot import Connected, Health, Sent
from robots.spec import CameraSpec, U8Image

EMPTY_V, FULL_V = 10.5, 12.7
"""The pimu stops the robot at 10.5 V [robot_params_RE1V0.py pimu.config]; a full 12 V lead battery rests at 12.7 V."""


@dataclass(frozen=True)
class StretchOptions:
    """Connection, cameras and thresholds of a Stretch RE1.

    Attributes:
        fleet: the robot's calibration folder, e.g. ~/stretch_user/stretch-re1-1001; empty: from the SDK's
            HELLO_FLEET_PATH and HELLO_FLEET_ID.
        navigation_camera: camera that faces ahead: realsense:SERIAL, opencv:INDEX, opencv:/dev/videoN, url:ADDRESS,
            file:VIDEO, synthetic, or synthetic:FLEET (a running fake).
        manipulation_camera: camera that faces the arm, in the same forms.
        navigation_rotation_deg: clockwise rotation that makes its image upright: 0, 90, 180 or 270. The D435i in the
            head of a stock RE1 is mounted on its side (90); SPOC's and FLaRe's cameras are upright.
        manipulation_rotation_deg: the same.
        navigation_fov_deg: vertical field of view of the upright image; 0: as a RealSense reports it, and
            59 degrees for any other camera.
        manipulation_fov_deg: the same.
        height: of a camera's image before it is turned [pixels].
        width: of a camera's image before it is turned [pixels].
        speed: fraction of the robot's top speeds, in (0, 1].
        contact_pct: effort of lift and arm [% of the maximum] at which their boards stop; 0: as calibrated on the
            robot.
        base_contact_pct: effort of a wheel [% of the maximum] that counts as contact; the SDK's default for the base.
        grip_pct: closing target on an object: 0 the fingertips touch, -100 full squeeze.
        grip_effort_pct: effort [%] above which a gripper at rest holds an object; the SDK's stall_max_effort.
        empty_aperture_m: fingertips nearer than this hold no object.
        feedback_stale_s: longest silence of a device.
        camera_stale_s: age limit of the newest image.
        camera_frozen_s: images that stay the same for longer are a frozen camera.
        spare_s: a motion may take twice its planned time plus this.
    """

    fleet: str = ""
    navigation_camera: str = ""
    manipulation_camera: str = ""
    navigation_rotation_deg: int = 0
    manipulation_rotation_deg: int = 0
    navigation_fov_deg: float = 0.0
    manipulation_fov_deg: float = 0.0
    height: int = 720
    width: int = 1280
    speed: float = 1.0
    contact_pct: float = 0.0
    base_contact_pct: float = 60.0
    grip_pct: float = -50.0
    grip_effort_pct: float = 20.0
    empty_aperture_m: float = 0.005
    feedback_stale_s: float = 0.5
    camera_stale_s: float = 1.0
    camera_frozen_s: float = 0.5
    spare_s: float = 2.0


class StretchRE1(Connected):
    """Stretch RE1 on stretch_body, as a `Robot`.

    Args:
        options: connection, cameras and thresholds.
        cameras: camera name -> camera, in place of those that the options name (e.g. a ROS topic).
    """

    def __init__(self, options: StretchOptions | None = None, cameras: Mapping[str, Camera] | None = None) -> None:
        self.options = options or StretchOptions()
        self._table = _table(self.options)
        self._spec = self._table
        self._given = dict(cameras or {})
        self._cameras: dict[str, Camera] = {}
        self._robot: Any = None
        self._reader: Reader | None = None
        self._motion: Motion | None = None
        self._grip: Grip | None = None
        self._watchdog: WheelWatchdog | None = None
        self._lock: Lock | None = None
        self._executing = threading.Lock()
        self._stamp_ns = -1

    @property
    def spec(self) -> Embodiment:
        """The table; once connected, narrowed to the soft limits of this individual robot."""
        return self._spec

    @property
    def pose(self) -> tuple[float, float, float]:
        """Base pose (x [m], y [m], yaw [rad]) by odometry since it was connected. Raises NotConnected."""
        return self._parts("pose")[0].status().pose

    def connect(self) -> None:
        """Connects. Raises ConnectionFailed, which names the device, file or joint at fault and what to do."""
        if self._robot is not None:
            return
        folder = sdk.fleet_folder(self.options.fleet)
        self._lock = claim(f"stretch-{folder}")
        try:
            self._robot = sdk.load(folder)
            sdk.start(self._robot, folder)
            self._watchdog = WheelWatchdog(folder)
            self._begin()
            self._open_cameras()
        except BaseException:
            self.disconnect()
            raise

    def _begin(self) -> None:
        options = self.options
        self._reader = reader = Reader(self._robot, options.feedback_stale_s, self.stop)
        reader.start()
        received = reader.wait(time.monotonic_ns(), 3.0)
        if silence := reader.silence:
            raise ConnectionFailed(silence)
        if joints := sdk.not_homed(self._robot):  # its measurements are meaningless
            names = ", ".join(joints)
            raise ConnectionFailed(
                f"not homed: {names}; clear the space around the robot and run stretch_robot_home.py"
            )
        if not received or reader.fault:
            raise ConnectionFailed(reader.fault or "feedback stale: the robot answered once and then stopped")
        self._spec = _narrowed(self._table, self._robot)
        limits = MotionOptions(options.contact_pct, options.base_contact_pct, options.spare_s, options.speed)
        self._motion = Motion(self._robot, reader, self._spec, limits, self._unfit)
        self._grip = Grip(self._motion, reader, options.grip_pct, options.grip_effort_pct, options.empty_aperture_m)

    def _open_cameras(self) -> None:
        for spec in self._table.cameras:
            camera = self._given.get(spec.name) or _camera(self.options, spec)
            self._cameras[spec.name] = camera
            camera.open()

    def disconnect(self) -> None:
        """Releases robot and cameras. The SDK disables the servos' torque: support what the gripper holds."""
        for camera in self._cameras.values():
            camera.close()
        if self._reader is not None:
            self._reader.close()
        if self._robot is not None:
            sdk.end(self._robot)
        if self._watchdog is not None:
            self._watchdog.release()
        if self._lock is not None:
            self._lock.release()
        self._cameras, self._stamp_ns = {}, -1
        self._robot = self._reader = self._motion = self._grip = self._watchdog = self._lock = None

    def observe(self) -> Observation:
        """Returns both images and the joints, all sensed after the observation before; waits for them.

        Raises:
            NotConnected: before `connect`.
            RobotError: a camera or a device is lost, or a camera frozen.
        """
        reader, _, grip = self._parts("observe")
        frames = {name: camera.newest(self._stamp_ns) for name, camera in self._cameras.items()}
        reader.wait(self._stamp_ns, self.options.feedback_stale_s)
        if fault := reader.fault:
            raise RobotError(fault)
        status = reader.status()
        self._stamp_ns = min(status.stamp_ns, *(frame.stamp_ns for frame in frames.values()))
        images = {spec.name: self._view(spec, frames[spec.name].image) for spec in self._spec.cameras}
        state = {"joints": self._joints(status), "hand": np.array([float(grip.holds(status))], dtype=np.float32)}
        return Observation(self._stamp_ns, images, state)

    def execute(self, command: Command) -> Sent:
        """Limits the command, moves, and returns when the motion has ended, by measurement. Raises NotConnected."""
        reader, motion, _ = self._parts("execute")
        with self._executing:
            motion.stopping.clear()
            sent = limit(command, self._spec, reader.status().positions)
            if sent.refused or isinstance(command, Done):
                return sent
            if fault := self._unfit():
                return replace(sent, refused=fault)
            try:
                return replace(sent, blocked=self._perform(sent.command))
            except (Exception, SystemExit) as error:  # the SDK exits the process on errors that a driver can report
                logging.getLogger(__name__).warning("stretch_body failed", exc_info=True)
                motion.halt()
                return replace(sent, blocked=self._unfit() or f"lost: {type(error).__name__}: {error}")

    def drive(self, speed_mps: float, turn_radps: float) -> tuple[float, float]:
        """Velocity mode, for teleoperation: returns the speeds that were sent, within the speed limit.

        The wheels stop by themselves after 1 s: repeat it. Raises NotConnected, and RobotError when nothing may move.
        """
        motion = self._parts("drive")[1]
        if not (math.isfinite(speed_mps) and math.isfinite(turn_radps)):
            raise RobotError(f"drive: got {(speed_mps, turn_radps)}, expected finite numbers")
        if fault := self._unfit():
            raise RobotError(fault)
        return motion.base_velocity(speed_mps, turn_radps)

    def stop(self) -> None:
        """Ramps base, lift and arm to zero and holds the joints where they come to rest; the gripper keeps its hold."""
        if self._motion is not None:
            self._motion.halt()

    def health(self) -> Health:
        """Runstop, fault and battery."""
        robot, reader = self._robot, self._reader
        if robot is None or reader is None or self._motion is None:
            return Health(fault="not connected: connect() has not succeeded")
        status = reader.status()
        charge = min(1.0, max(0.0, (status.voltage_v - EMPTY_V) / (FULL_V - EMPTY_V)))
        cameras = (camera.fault for camera in list(self._cameras.values()))
        fault = self._fault() or next((text for text in cameras if text), "")
        age_s = (time.monotonic_ns() - status.stamp_ns) / 1e9
        return Health(status.runstop, fault, charge, {"voltage_v": status.voltage_v, "feedback_age_s": age_s})

    def _fault(self) -> str:
        robot, reader = self._robot, self._reader
        if robot is None or reader is None:
            return "not connected: connect() has not succeeded"
        if stale := reader.fault:
            return stale
        if joints := sdk.not_homed(robot):
            return f"not homed: {', '.join(joints)}"
        return servo_fault(robot)

    def _unfit(self) -> str:
        reader = self._reader
        if reader is not None and reader.status().runstop:
            return "runstop: the robot's runstop is on"
        return self._fault()

    def _perform(self, command: Command) -> str:
        """Executes a command that is within the limits; returns why it did not complete, or ""."""
        reader, motion, grip = self._parts("execute")
        if isinstance(command, MoveBase):
            return motion.drive(command.distance_m)
        if isinstance(command, RotateBase):
            return motion.turn(command.angle_rad)
        if isinstance(command, MoveJoint):
            current = reader.status().positions[command.joint]
            return self._reach({command.joint: current + command.delta})
        if isinstance(command, SetGripper):
            return self._reach({"gripper_aperture": command.aperture_m})
        if isinstance(command, JointTarget):
            return self._reach(dict(zip(command.joints, command.positions)))
        if isinstance(command, LookAt):
            return self._reach({"joint_head_pan": command.pan_rad, "joint_head_tilt": command.tilt_rad})
        if isinstance(command, Grasp):
            return grip.grasp()
        if isinstance(command, Release):
            return self._reach({"gripper_aperture": self._spec.joints["gripper_aperture"].high})
        assert isinstance(command, Stop)  # a chunk is refused by the limits: this robot takes none
        self.stop()
        return ""

    def _reach(self, targets: dict[str, float]) -> str:
        _, motion, grip = self._parts("execute")
        if "gripper_aperture" in targets:
            grip.let_go()
        return motion.reach(targets)

    def _parts(self, operation: str) -> tuple[Reader, Motion, Grip]:
        reader, motion, grip = self._reader, self._motion, self._grip
        if reader is None or motion is None or grip is None:
            raise NotConnected(self._spec.name, operation)
        return reader, motion, grip

    def _joints(self, status: Status) -> np.ndarray[Any, np.dtype[np.float32]]:
        """Positions; a joint that was turned beyond its range by hand counts as at its end."""
        spec, at = self._spec.state["joints"], status.positions
        return np.array(
            [min(max(at[n], low), high) for n, low, high in zip(spec.names, spec.low, spec.high)], np.float32
        )

    def _view(self, spec: CameraSpec, image: U8Image) -> U8Image:
        """Image as the table declares it: unchanged when size and field of view agree, else letterboxed."""
        lens = getattr(self.options, f"{spec.name}_fov_deg") or self._cameras[spec.name].source.lens_fov_deg
        same = image.shape == (spec.height, spec.width, 3)
        if same and (not lens or abs(lens - spec.vertical_fov_deg) <= 1.0):  # FLaRe draws +-1 degree in training
            return image
        return letterbox(image, lens or spec.vertical_fov_deg, spec)


def _table(options: StretchOptions) -> Embodiment:
    cameras = (replace(camera, height=options.height, width=options.width) for camera in STRETCH_RE1.cameras)
    return STRETCH_RE1.with_cameras(*cameras).slowed(options.speed)


def _camera(options: StretchOptions, spec: CameraSpec) -> Camera:
    choice, rotation = getattr(options, f"{spec.name}_camera"), getattr(options, f"{spec.name}_rotation_deg")
    limits = CameraOptions(stale_s=options.camera_stale_s, frozen_s=options.camera_frozen_s)
    return Camera(source(choice, options.height, options.width, spec.yaw_deg or 0.0), limits, rotation)


def _narrowed(table: Embodiment, robot: Any) -> Embodiment:
    """Narrows the table to the robot's own soft limits, which are calibrated on each robot."""
    own = {"joint_lift": robot.lift.get_soft_motion_limits(), "joint_arm": robot.arm.get_soft_motion_limits()}
    motors = sdk.servos(robot)
    for joint, name in SERVO_JOINTS.items():
        own[joint] = motors[name].get_soft_motion_limits()
    gripper = motors["stretch_gripper"]
    open_m = gripper.gripper_conversion.robotis_to_aperture(gripper.pct_max_open)
    own["gripper_aperture"] = (0.0, open_m)
    joints = {
        name: replace(joint, low=max(joint.low, float(own[name][0])), high=min(joint.high, float(own[name][1])))
        for name, joint in table.joints.items()
    }
    return replace(table, joints=joints)
