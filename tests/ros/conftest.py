"""Every run of the ROS tests has a domain of its own and talks to this machine only; set before rclpy is imported."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

from ferry.ros_domain import own_domain

os.environ["ROS_DOMAIN_ID"] = str(own_domain())
os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
os.environ["FASTRTPS_DEFAULT_PROFILES_FILE"] = str(Path(__file__).parents[1] / "support" / "fastdds.xml")

with warnings.catch_warnings():  # rclpy's message support imports lark, which imports the deprecated sre_parse
    warnings.simplefilter("ignore", DeprecationWarning)
    import rosidl_generator_py  # noqa: F401
