"""Drivers of real robots that need no ROS; each imports its vendor's library when it connects."""
