"""Robots behind the ROS 2 drivers of their vendors."""
