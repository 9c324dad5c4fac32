"""ROS 2 nodes of Ferry: thin translators between standard messages and the rooms `robots` and `evaluation`."""
