"""rclpy, made to hold: contexts, processes, spinning, services, parameters, names."""
