"""Runs the subset of ROS 2 XML launch files that this repository uses, where `ros2 launch` is not installed.

`grammar` defines the subset, `xml_file` reads a file, `plan` resolves it to processes, `run` runs them. Whatever
is outside the subset is an error: a file that runs here means the same to `ros2 launch` of Humble and of Jazzy.
"""
