"""Starts stretch_body so that nothing fails in silence, and ends it so that nothing is left behind.

What the SDK (hello-robot-stretch-body 0.7.31) does by itself, and what is done about it here:
- it reads the calibration when it is imported and ends the process (`sys.exit`) when a file is missing: the files are
  checked first, and its modules are unloaded on disconnect, so that the next connection reads them anew;
- it replaces all log handlers and disables all loggers of the process: its logging set-up is left out;
- it takes SIGINT, SIGTERM and `threading.excepthook`: they are left with the process;
- its asyncio transport keeps its lock after a lost reply, and every later call waits for ever: the plain one is used;
- it forks a process for self-collision even where that is off (the RE1's default): not started;
- with a device missing `startup()` returns False and each later command does nothing: devices are tried by name.
"""

from __future__ import annotations

import errno
import logging.config
import os
import signal
import sys
import threading
import types
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from robots.drivers.stretch import ports
from robots.errors import ConnectionFailed, NotInstalled

INSTALL = "run scripts/stretch_sdk (installs hello-robot-stretch-body 0.7.31 and what it needs)"
FILES = ("stretch_configuration_params.yaml", "stretch_user_params.yaml")
JOINTS = ("wrist_yaw", "stretch_gripper")


def fleet_folder(fleet: str) -> Path:
    """The robot's calibration folder: `fleet`, or where the SDK's own HELLO_FLEET_PATH and HELLO_FLEET_ID point.

    Raises ConnectionFailed naming the folder or file that is missing.
    """
    if not fleet:
        path, robot = os.environ.get("HELLO_FLEET_PATH"), os.environ.get("HELLO_FLEET_ID")
        if not path or not robot:
            raise ConnectionFailed(
                "not calibrated: HELLO_FLEET_PATH and HELLO_FLEET_ID are not set; a Stretch sets them in ~/.bashrc."
                " Or give the option fleet"
            )
        fleet = f"{path}/{robot}"
    folder = Path(fleet).resolve()
    for path_ in (folder, *(folder / name for name in FILES)):
        if not path_.exists():
            raise ConnectionFailed(f"not calibrated: there is no {path_}")
    return folder


def load(folder: Path) -> Any:
    """A `stretch_body.robot.Robot` of the robot calibrated in `folder`, not started; ConnectionFailed otherwise."""
    forget()
    os.environ["HELLO_FLEET_PATH"], os.environ["HELLO_FLEET_ID"] = str(folder.parent), folder.name
    hook = threading.excepthook
    try:
        with _contained():
            import stretch_body.robot  # type: ignore[import-untyped,import-not-found,unused-ignore]

            robot = stretch_body.robot.Robot()
    except ModuleNotFoundError as error:
        name = error.name or ""
        if name.startswith("stretch_body.robot_params_"):
            raise ConnectionFailed(f"not calibrated: {folder / FILES[0]}: unknown model {name[26:]}") from error
        raise NotInstalled(f"stretch_body cannot be imported ({error}): {INSTALL}") from error
    except (Exception, SystemExit) as error:  # a damaged file shows as any error of the parser or of the SDK
        files = " or ".join(FILES)
        what = "it ended the process" if isinstance(error, SystemExit) else f"{type(error).__name__}: {error}"
        raise ConnectionFailed(f"not calibrated: stretch_body does not accept {files} in {folder}: {what}") from error
    finally:
        threading.excepthook = hook
    _tame(robot)
    return robot


def load_base(folder: Path) -> Any:
    """The SDK's `Base` of the robot calibrated in `folder` by itself, not started."""
    os.environ["HELLO_FLEET_PATH"], os.environ["HELLO_FLEET_ID"] = str(folder.parent), folder.name
    with _contained():
        import stretch_body.base  # type: ignore[import-untyped,import-not-found,unused-ignore]

        return stretch_body.base.Base()


def start(robot: Any, folder: Path) -> None:
    """Opens all devices and checks every one; ConnectionFailed names the one that does not answer and what to check."""
    check_params(robot, folder)
    for name, path in devices(robot).items():
        check_device(name, Path(path))
    _own_lock_of_a_fake(robot, folder)
    lost = ""
    try:
        with _signals_kept():
            started = robot.startup(start_non_dxl_thread=False, start_dxl_thread=False, start_sys_mon_thread=False)
    except (Exception, SystemExit) as error:  # a lost reply shows as an IndexError, a damaged one as a ValueError
        started, lost = False, f" (stretch_body: {type(error).__name__}: {error})"
    if not robot._file_lock.is_locked:
        raise ConnectionFailed(
            f"another process drives this Stretch{_owner()}; stop it, or stretch_free_robot_process.py"
        )
    silent = [name for name, valid in answering(robot).items() if not valid]
    if silent or not started:
        names = ", ".join(silent) or "a device"
        raise ConnectionFailed(
            f"no answer from {names}{lost}: is the robot switched on, the cable in, the runstop released?"
        )


def end(robot: Any) -> None:
    """Lets all devices go and forgets the SDK; never raises."""
    try:
        if hasattr(robot, "_file_lock"):  # else it was never started
            robot.stop()
    except (Exception, SystemExit):  # a robot that was switched off cannot be released
        logging.getLogger(__name__).info("stretch_body did not stop cleanly; closing its ports", exc_info=True)
        ports.close(robot)
    thread = getattr(robot, "non_dxl_thread", None)
    if thread is not None:
        thread.loop.close()
    robot.collision.shared_joint_cfg.close()
    robot.collision.shared_collision_status.close()
    forget()


def forget() -> None:
    """Removes the SDK from the loaded modules."""
    for name in [module for module in sys.modules if module == "stretch_body" or module.startswith("stretch_body.")]:
        del sys.modules[name]


def devices(robot: Any) -> dict[str, str]:
    """Name on a robot -> path of each serial device that the calibration names."""
    base, end_of_arm = robot.base.params, robot.end_of_arm
    return {
        "hello-pimu": robot.pimu.params["usb_name"],
        "hello-wacc": robot.wacc.params["usb_name"],
        "hello-motor-lift": robot.lift.params["usb_name"],
        "hello-motor-arm": robot.arm.params["usb_name"],
        "hello-motor-left-wheel": base["usb_name_left_wheel"],
        "hello-motor-right-wheel": base["usb_name_right_wheel"],
        "hello-dynamixel-head": robot.head.usb,
        "hello-dynamixel-wrist": end_of_arm.usb,
    }


def check_device(name: str, path: Path) -> None:
    """Raises ConnectionFailed unless the device can be opened."""
    try:
        os.close(os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK))
    except OSError as error:
        advice = {
            errno.ENOENT: "is the robot switched on and its USB cable in? (stretch_system_check.py)",
            errno.EACCES: "add the user to the group 'dialout' and log in again",
        }.get(error.errno or 0, "check the device")
        raise ConnectionFailed(f"{name}: {path}: {(error.strerror or '').lower()}; {advice}") from error


def answering(robot: Any) -> dict[str, bool]:
    """Device -> whether the SDK counts it as valid."""
    return {
        "hello-pimu": bool(robot.pimu.hw_valid),
        "hello-wacc": bool(robot.wacc.hw_valid),
        "hello-motor-lift": bool(robot.lift.motor.hw_valid),
        "hello-motor-arm": bool(robot.arm.motor.hw_valid),
        "hello-motor-left-wheel": bool(robot.base.left_wheel.hw_valid),
        "hello-motor-right-wheel": bool(robot.base.right_wheel.hw_valid),
        **{name: bool(motor.hw_valid) for name, motor in servos(robot).items()},
    }


def servos(robot: Any) -> dict[str, Any]:
    """Servo name -> the SDK's object."""
    return {**robot.head.motors, **robot.end_of_arm.motors}


def not_homed(robot: Any) -> list[str]:
    """The joints whose zero is not known: they must be homed before anything moves."""
    joints = [name for name in ("lift", "arm") if not getattr(robot, name).motor.status["pos_calibrated"]]
    needy = (
        name for name, servo in servos(robot).items() if servo.params["req_calibration"] and not servo.is_calibrated
    )
    return joints + list(needy)


def check_params(robot: Any, folder: Path) -> None:
    """Raises ConnectionFailed unless the calibration has what motions need; the SDK would end the process later."""
    import stretch_body.hello_utils as utils  # type: ignore[import-untyped,import-not-found,unused-ignore]

    try:
        for joint in (robot.lift, robot.arm):
            utils.check_deprecated_contact_model_prismatic_joint(joint, "connect", None, None, None, None)
        utils.check_deprecated_contact_model_base(robot.base, "connect", None, None)
    except SystemExit as error:
        advice = "run RE1_migrate_contacts.py (https://forum.hello-robot.com/t/476)"
        raise ConnectionFailed(f"not calibrated: {folder / FILES[0]} has no valid contact model: {advice}") from error
    missing = [name for name in JOINTS if name not in robot.end_of_arm.motors]
    if missing:
        expected = "expected tool_stretch_gripper"
        raise ConnectionFailed(f"{folder}: robot.tool is {robot.eoa_name}, without {', '.join(missing)}; {expected}")


def _tame(robot: Any) -> None:
    robot.params["use_asyncio"] = 0
    robot.start_event_loop = robot.collision.startup = lambda: None


def _own_lock_of_a_fake(robot: Any, folder: Path) -> None:
    """The SDK's lock is one for the whole computer, on which several fakes may run."""
    import stretch_body.hello_utils as utils  # type: ignore[import-untyped,import-not-found,unused-ignore]

    if robot.params["batch_name"] == "fake":
        utils.BODY_FILE = str(folder / "pid.txt")
        utils.BODY_FILELOCK = f"{utils.BODY_FILE}.lock"


def _owner() -> str:
    import stretch_body.hello_utils as utils  # type: ignore[import-untyped,import-not-found,unused-ignore]

    try:
        return f" (pid {Path(utils.BODY_FILE).read_text(encoding='utf-8').strip()})"
    except OSError:
        return ""


@contextmanager
def _contained() -> Iterator[None]:
    """Context of the SDK's import: keeps log handlers, hides warnings, and stubs a missing pyrealsense2."""
    configure = logging.config.dictConfig
    placeholder = _placeholder("pyrealsense2")

    def leave(config: Mapping[str, Any]) -> None:
        """The process has its logging already."""

    logging.config.dictConfig = leave
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.config.dictConfig = configure
        if placeholder is not None and sys.modules.get("pyrealsense2") is placeholder:
            del sys.modules["pyrealsense2"]


def _placeholder(name: str) -> types.ModuleType | None:
    """The SDK imports pyrealsense2 for tools that are not used here; a Stretch with other cameras may lack it."""
    try:
        __import__(name)
    except ImportError:
        sys.modules[name] = types.ModuleType(name)
        return sys.modules[name]
    return None


@contextmanager
def _signals_kept() -> Iterator[None]:
    """While the SDK starts: it cannot take the process's signals, which works in the main thread only."""
    import stretch_body.robot as module  # type: ignore[import-untyped,import-not-found,unused-ignore]

    module.signal = types.SimpleNamespace(signal=lambda *_: None, SIGTERM=signal.SIGTERM, SIGINT=signal.SIGINT)
    try:
        yield
    finally:
        module.signal = signal
