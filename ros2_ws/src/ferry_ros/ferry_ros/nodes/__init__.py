"""The nodes that are started: robot, policy, supervisor, trial, and the emergency stop of a keyboard."""
