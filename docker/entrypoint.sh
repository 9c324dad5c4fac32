#!/bin/sh
# Sources ROS 2 and what colcon built, then runs the command.
. "/opt/ros/${ROS_DISTRO}/setup.sh"
. /ferry/ros2_ws/install/local_setup.sh
exec "$@"
