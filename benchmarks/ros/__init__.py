"""From observations to motions over ROS 2, and over each driver's own wire."""
