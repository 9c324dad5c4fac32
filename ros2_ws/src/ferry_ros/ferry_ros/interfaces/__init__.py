"""Message packages of robots' vendors: theirs where they are installed, else built here from their definitions.

A robot has them from its vendor's workspace. A computer with ROS 2 from wheels alone, as in tests and for fakes, has
not; `ensure` then builds the few definitions that are needed, once for a computer, with its C++ compiler.
"""

from ferry_ros.interfaces.load import ensure

__all__ = ["ensure"]
