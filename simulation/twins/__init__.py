"""Simulated robots in a house: motion, grasps, cameras, and the `Robot` interface."""
