"""Fakes of the vendors' ROS 2 drivers: nodes with the same topics, services and manners, without hardware."""
