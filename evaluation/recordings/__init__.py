"""Recordings of trials in MCAP: written, read, replayed, exported. Nothing here needs ROS."""
