"""Where policies grow: procedural MuJoCo houses, body twins, cameras, tasks and experts. No torch."""
