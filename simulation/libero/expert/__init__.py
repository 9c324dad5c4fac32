"""Scripted experts for LIBERO's tasks: they know every pose, and try what they mean to do in the simulator first."""
