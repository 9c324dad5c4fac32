"""A LoCoBot behind PyRobot (ROS 1): the client, and the server that runs beside PyRobot."""
