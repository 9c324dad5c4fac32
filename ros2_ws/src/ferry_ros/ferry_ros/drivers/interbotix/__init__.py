"""A LoCoBot behind the Interbotix ROS 2 packages."""
