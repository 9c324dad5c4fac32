"""A LoCoBot without hardware, behind the real PyRobot server."""
