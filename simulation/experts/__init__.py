"""Experts that solve the tasks with what only the simulator knows."""
