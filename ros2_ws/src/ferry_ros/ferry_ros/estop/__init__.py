"""Emergency stop from a keyboard: discovery of robots, and confirmation of their stops."""
