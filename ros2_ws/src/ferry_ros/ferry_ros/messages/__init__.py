"""Conversion between ROS messages and the nouns of the other rooms."""
