"""The folder that a Stretch's computer has in place of `~/stretch_user`: calibration files for the SDK, and devices.

Numbers: hello-robot-stretch-body 0.7.31 robot_params_RE1V0.py configuration_params_template. JSON is YAML.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROBOT_ID = "stretch-re1-0000"
"""Name of the fake's folder in the fleet, as HELLO_FLEET_ID."""

SERVO_RANGES: dict[str, tuple[int, int, int]] = {  # lowest tick, highest tick, tick of joint zero
    "head_pan": (0, 3827, 1165),
    "head_tilt": (1775, 3150, 2048),
    "stretch_gripper": (0, 8022, 5212),
    "wrist_yaw": (0, 9340, 7175),
}
ARM_RANGE_M, LIFT_RANGE_M = (0.0, 0.52), (0.0, 1.10)
WHEEL_SEPARATION_M = 0.3153


def configuration() -> dict[str, Any]:
    """Parameters that are calibrated on each robot."""
    contact = {"effort_pct": {"contact_thresh_default": [-80.0, 80.0], "contact_thresh_homing": [-80.0, 80.0]}}
    joints = {
        name: {"range_t": [low, high], "zero_t": zero, "baud": 115200}
        for name, (low, high, zero) in SERVO_RANGES.items()
    }
    steppers = ("hello-motor-arm", "hello-motor-lift", "hello-motor-left-wheel", "hello-motor-right-wheel")
    return {
        "arm": {"i_feedforward": 0, "range_m": list(ARM_RANGE_M), "contact_models": contact},
        "lift": {"i_feedforward": 0.54, "range_m": list(LIFT_RANGE_M), "contact_models": contact},
        "base": {"wheel_separation_m": WHEEL_SEPARATION_M},
        "head_pan": {**joints["head_pan"], "use_multiturn": 0, "use_pos_current_ctrl": 0},
        **{name: joints[name] for name in ("head_tilt", "stretch_gripper", "wrist_yaw")},
        **{name: {"baud": 115200} for name in ("head", "end_of_arm", "tool_stretch_gripper", "tool_none")},
        **{name: {"serial_no": "NA"} for name in steppers},
        "pimu": {"config": _pimu()},
        "robot": {
            "batch_name": "fake",
            "serial_no": ROBOT_ID,
            "d435i": {"serial_no": "NA"},
            "model_name": "RE1V0",
            "tool": "tool_stretch_gripper",
        },
        "wacc": {"config": {"accel_gravity_scale": 1.0}},
    }


def _pimu() -> dict[str, Any]:
    return {
        "cliff_zero": [0.0] * 4,
        "gyro_zero_offsets": [0.0] * 3,
        "gravity_vector_scale": 1.0,
        "mag_offsets": [0.0] * 3,
        "mag_softiron_matrix": [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0],
        "rate_gyro_vector_scale": 1.0,
    }


def user(devices: Mapping[str, Path]) -> dict[str, Any]:
    """Paths of the devices, by their names in /dev on a robot."""
    head, wrist = str(devices["hello-dynamixel-head"]), str(devices["hello-dynamixel-wrist"])
    return {
        "robot": {"use_collision_manager": 0},
        "arm": {"usb_name": str(devices["hello-motor-arm"])},
        "lift": {"usb_name": str(devices["hello-motor-lift"])},
        "base": {
            "usb_name_left_wheel": str(devices["hello-motor-left-wheel"]),
            "usb_name_right_wheel": str(devices["hello-motor-right-wheel"]),
        },
        "pimu": {"usb_name": str(devices["hello-pimu"])},
        "wacc": {"usb_name": str(devices["hello-wacc"])},
        **{name: {"usb_name": head} for name in ("head", "head_pan", "head_tilt")},
        **{name: {"usb_name": wrist} for name in ("end_of_arm", "wrist_yaw", "stretch_gripper")},
    }


def write_fleet(fleet: Path, devices: Mapping[str, Path]) -> Path:
    """Writes the calibration files for `devices` (name in /dev -> path); returns the robot's folder in `fleet`."""
    folder = fleet / ROBOT_ID
    (fleet / "log" / "stretch_body_logger").mkdir(parents=True, exist_ok=True)
    folder.mkdir(parents=True, exist_ok=True)
    files = {"stretch_configuration_params.yaml": configuration(), "stretch_user_params.yaml": user(devices)}
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content, indent=2), encoding="utf-8")
    return folder
