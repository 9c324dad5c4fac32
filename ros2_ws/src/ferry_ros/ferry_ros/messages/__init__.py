"""Between ROS messages and what the other rooms speak of."""
