"""The vendors' definitions that a robot or a fake here needs: package -> name of the interface -> its text.

Names and order of the fields are what makes them the vendors' own on the wire. Sources: Interbotix/interbotix_ros_core
interbotix_ros_xseries/interbotix_xs_msgs (BSD-3-Clause); kobuki-base/kobuki_ros_interfaces (BSD-3-Clause);
ros-controls/control_msgs (Apache-2.0).
"""

from __future__ import annotations

from collections.abc import Mapping

DEFINITIONS: Mapping[str, Mapping[str, str]] = {
    "interbotix_xs_msgs": {
        "msg/JointGroupCommand.msg": "string name\nfloat32[] cmd\n",
        "srv/RegisterValues.srv": "string cmd_type\nstring name\nstring reg\nint32 value\n---\nint32[] values\n",
        "srv/RobotInfo.srv": """\
string cmd_type
string name
---
string mode
string profile_type
string[] joint_names
int16[] joint_ids
float32[] joint_lower_limits
float32[] joint_upper_limits
float32[] joint_velocity_limits
float32[] joint_sleep_positions
int16[] joint_state_indices
int16 num_joints
string[] name
""",
    },
    "control_msgs": {
        "msg/GripperCommand.msg": "float64 position\nfloat64 max_effort\n",
        "action/GripperCommand.action": """\
GripperCommand command
---
float64 position
float64 effort
bool stalled
bool reached_goal
---
float64 position
float64 effort
bool stalled
bool reached_goal
""",
    },
    "kobuki_ros_interfaces": {
        "msg/BumperEvent.msg": """\
uint8 LEFT=0
uint8 CENTER=1
uint8 RIGHT=2
uint8 RELEASED=0
uint8 PRESSED=1
uint8 bumper
uint8 state
""",
    },
}
