"""LIBERO's tasks for a Panda, stepped by a loop of Ferry's own that agrees with robosuite's and is faster."""
