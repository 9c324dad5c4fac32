"""Simulated robots that live in a house: motion, grasps, cameras, and the `Robot` they are."""
