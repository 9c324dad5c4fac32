"""Simulation: procedural MuJoCo houses, robot twins, cameras, tasks and experts. No torch."""
