"""A Stretch RE1 behind stretch_ros2, its vendor's ROS 2 driver."""
