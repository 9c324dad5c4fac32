"""Server beside PyRobot on a LoCoBot: moves it for one client over a socket, and stops it when requests cease.

This folder runs on Python 3.6 and newer with nothing but the standard library and PyRobot (facebookresearch/pyrobot,
ROS 1): copy it to the robot and run `python3 -m pyrobot_server --host 0.0.0.0` beside it, where `import pyrobot` works.
docs/pyrobot_protocol.md describes the protocol. Tilt is positive downwards here, as in PyRobot.
"""
